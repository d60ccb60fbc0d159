import COpenCL
package import GraftSystem
import Synchronization

/// Names a kernel: the file it stands in, its function, and the macros it is compiled with.
package struct KernelKey: Hashable, Sendable {
  package let file: String
  package let function: String
  package let macros: [Macro]

  package struct Macro: Hashable, Sendable {
    let name: String
    let value: String

    package init(_ name: String, _ value: Int) {
      self.name = name
      self.value = "\(value)"
    }

    fileprivate init(name: String, value: String) {
      self.name = name
      self.value = value
    }
  }

  /// - Parameters:
  ///   - file: name of the source under Kernels/, without `.cl`.
  ///   - function: name of the kernel in it.
  ///   - macros: `-D` definitions, in any order.
  package init(_ file: String, _ function: String, _ macros: KeyValuePairs<String, Any> = [:]) {
    self.file = file
    self.function = function
    self.macros = macros.map { Macro(name: $0.key, value: "\($0.value)") }
  }

  /// The same, for definitions that depend on the call.
  package init(_ file: String, _ function: String, macros: [Macro]) {
    self.file = file
    self.function = function
    self.macros = macros
  }

  var options: String {
    // No fast-math: NaN, infinities and the order of additions are part of the results.
    // Without -w PoCL counts its own headers' warnings on standard error.
    (["-cl-std=CL1.2", "-w"] + macros.map { "-D\($0.name)=\($0.value)" }).joined(separator: " ")
  }
}

/// Compiled programs and kernels of one context, made on first use.
package final class KernelLibrary: Sendable {
  private struct ProgramKey: Hashable {
    let file: String
    let options: String
  }

  private struct State {
    var programs: [ProgramKey: Handle] = [:]
    var kernels: [KernelKey: Handle] = [:]
  }

  private let context: Handle
  private let device: Device
  private let cache: ProgramCache
  /// Where compiled programs are kept; `nil` where the driver keeps them itself, or nobody does.
  package var cacheFolder: FilePath? { cache.folder }
  private let state = Mutex(State())

  init(context: Handle, device: Device) {
    self.context = context
    self.device = device
    cache = ProgramCache(traits: device.traits)
  }

  /// Runs `body` with the kernel, built if need be, under the lock that makes setting arguments and
  /// enqueuing one step: a kernel object's arguments are shared state.
  func withKernel<Result>(_ key: KernelKey, _ body: (cl_kernel) throws -> Result) throws -> Result {
    // The pointer stays inside the lock; the result is a value or nothing.
    try state.withLock { state in
      if let kernel = state.kernels[key] { return UncheckedResult(try body(kernel.pointer)) }
      let program = try program(for: key, &state)
      let kernel = try openCL("clCreateKernel") {
        clCreateKernel(program.pointer, key.function, &$0)
      }
      guard let kernel else { throw RuntimeError.unknownKernel("\(key.file).\(key.function)") }
      let handle = Handle(owning: kernel, .kernel)
      state.kernels[key] = handle
      return UncheckedResult(try body(kernel))
    }.value
  }

  private func program(for key: KernelKey, _ state: inout State) throws -> Handle {
    let programKey = ProgramKey(file: key.file, options: key.options)
    if let program = state.programs[programKey] { return program }
    guard let common = kernelSource("common"), let text = kernelSource(key.file) else {
      throw RuntimeError.unknownKernel("\(key.file).\(key.function)")
    }
    let rounding = device.traits.quirks.contains(.reportsNoFusedMultiplyAdd) ? "#define fma mad\n" : ""
    let source = rounding + common + "\n" + text
    let program = try cache.program(source: source, options: key.options, context: context, device: device) {
      try build(source, name: key.file, options: key.options)
    }
    state.programs[programKey] = program
    return program
  }

  func build(_ source: String, name: String, options: String) throws -> Handle {
    let program = try source.withCString { text in
      try openCL("clCreateProgramWithSource") { status in
        var pointer: UnsafePointer<CChar>? = text
        return clCreateProgramWithSource(context.pointer, 1, &pointer, nil, &status)
      }
    }
    guard let program else { throw RuntimeError.unknownKernel(name) }
    let handle = Handle(owning: program, .program)
    var id: cl_device_id? = device.handle.pointer
    do {
      try openCL("clBuildProgram") { $0 = clBuildProgram(program, 1, &id, options, nil, nil) }
    } catch RuntimeError.openCL(_, let status) where !status.isOutOfMemory && !status.isLoss {
      throw RuntimeError.buildFailed(
        program: name, options: options, device: device.traits.name,
        log: "\(status)\n" + buildLog(program) + cacheRemark)
    }
    return handle
  }

  /// PoCL's log does not say that its cache is what failed.
  private var cacheRemark: String {
    guard device.traits.platform.contains("Portable Computing Language"), let fault = PoCLCache.fault() else {
      return ""
    }
    return "\nPoCL: \(fault). \(PoCLCache.advice)"
  }

  private func buildLog(_ program: cl_program) -> String {
    let log = cl_program_build_info(CL_PROGRAM_BUILD_LOG)
    func ask(_ size: Int, _ bytes: UnsafeMutableRawPointer?, _ needed: UnsafeMutablePointer<Int>?) throws {
      try openCL("clGetProgramBuildInfo") {
        $0 = clGetProgramBuildInfo(program, device.handle.pointer, log, size, bytes, needed)
      }
    }
    var size = 0
    guard (try? ask(0, nil, &size)) != nil, size > 0 else { return "(the driver gave no log)" }
    var bytes = [UInt8](repeating: 0, count: size)
    guard (try? ask(size, &bytes, nil)) != nil else { return "(the driver gave no log)" }
    return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
  }
}
