import COpenCL
package import GraftSystem
import Synchronization

/// Names a kernel: the file it stands in, its function, and the macros it is compiled with.
package struct KernelKey: Hashable, Sendable {
  package let file: String
  package let function: String
  package let macros: [Macro]
  /// Intel's compiler is to take 256 registers a thread, and half as many threads.
  package var takesLargeRegisterFile = false
  /// Most registers of a lane, for NVIDIA's compiler, which else takes as many as one group a core leaves it.
  package var mostRegisters: Int?

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

  /// The same with other definitions.
  fileprivate func with(_ macros: [Macro]) -> KernelKey {
    var key = KernelKey(file, function, macros: macros)
    key.takesLargeRegisterFile = takesLargeRegisterFile
    key.mostRegisters = mostRegisters
    return key
  }

  /// What its program is compiled with.
  package var options: String {
    // No fast-math: NaN, infinities and the order of additions are part of the results.
    // Without -w PoCL counts its own headers' warnings on standard error.
    (["-cl-std=CL1.2", "-w"] + macros.map { "-D\($0.name)=\($0.value)" }
      + (takesLargeRegisterFile ? ["-cl-intel-256-GRF-per-thread"] : [])
      + (mostRegisters.map { ["-cl-nv-maxrregcount=\($0)"] } ?? [])).joined(separator: " ")
  }
}

/// Compiled programs and kernels of one context, made on first use or ahead of it.
package final class KernelLibrary: Sendable {
  private struct ProgramKey: Hashable {
    let files: [String]
    let options: String
  }

  /// A program that is compiled once, by whichever thread comes first; the others wait for it and for no other.
  private final class Program: Sendable {
    let handle = Mutex<Handle?>(nil)
  }

  private struct State {
    var programs: [ProgramKey: Program] = [:]
    var kernels: [KernelKey: LoadedKernel] = [:]
  }

  /// Sources that are one program on a CPU where every macro has its default: a program takes PoCL 3.1
  /// about 0.1 s however small it is, and kernels of it that nobody launches next to nothing.
  static let companions = [
    "activation", "channel_sums", "drop_path", "dropout", "elementwise", "layer_norm", "linear", "loss",
    "optimizer", "pack", "patch_embed", "reduce", "tokens", "transpose",
  ]

  /// What macros are without being asked for, in every source that has them.
  static let defaults = [
    "LANES": "1", "TEAMS": "1", "ACTIVATION": "1", "PER_ITEM": "16", "PANEL": "32", "STORAGE": "0",
    "VEC": "16",
  ]

  private let context: Handle
  private let device: Device
  private let cache: ProgramCache
  private let compilation: CompilationNotice
  /// Where compiled programs are kept; `nil` where the driver keeps them itself, or nobody does.
  package var cacheFolder: FilePath? { cache.folder }
  private let state = Mutex(State())
  private let needsHeader = Atomic(false)

  init(context: Handle, device: Device) {
    self.context = context
    self.device = device
    cache = ProgramCache(traits: device.traits)
    compilation = CompilationNotice(traits: device.traits)
  }

  /// Runs `body` with the kernel, built if need be, under the lock that makes setting arguments and
  /// enqueuing one step: a kernel object's arguments are shared state.
  func withKernel<Result>(_ key: KernelKey, _ body: (inout LoadedKernel) throws -> Result) throws -> Result {
    let isKnown = state.withLock { $0.kernels[key] != nil }
    // Outside the lock: while one thread compiles, others launch.
    let program = isKnown ? nil : try program(for: key)
    // The kernel stays inside the lock; the result is a value or nothing.
    return try state.withLock { state in
      if state.kernels[key] == nil {
        let kernel = try openCL("clCreateKernel") { status in
          program.flatMap { clCreateKernel($0.pointer, key.function, &status) }
        }
        guard let kernel else { throw RuntimeError.unknownKernel("\(key.file).\(key.function)") }
        state.kernels[key] = LoadedKernel(Handle(owning: kernel, .kernel))
      }
      guard let place = state.kernels.index(forKey: key) else {
        throw RuntimeError.unknownKernel("\(key.file).\(key.function)")
      }
      return UncheckedResult(try body(&state.kernels.values[place]))
    }.value
  }

  /// Compiles the program of a kernel that nobody has launched yet.
  ///
  /// A failure is left to whoever launches the kernel: it is tried again, and tells.
  func prepare(_ key: KernelKey) { _ = try? program(for: key) }

  /// Whether launching the kernel compiles nothing.
  package func isPrepared(_ key: KernelKey) -> Bool {
    let program = state.withLock { $0.programs[programKey(key)] }
    return program?.handle.withLock { $0 != nil } ?? false
  }

  private func programKey(_ key: KernelKey) -> ProgramKey {
    let macros = key.macros.filter { Self.defaults[$0.name] != $0.value }
    let isShared = device.traits.isCPU && macros.isEmpty && Self.companions.contains(key.file)
    return ProgramKey(
      files: isShared ? Self.companions : [key.file],
      options: key.with(macros).options)
  }

  private func program(for key: KernelKey) throws -> Handle {
    let programKey = programKey(key)
    let program = state.withLock { state in
      let program = state.programs[programKey] ?? Program()
      state.programs[programKey] = program
      return program
    }
    return try program.handle.withLock { handle in
      if let handle { return handle }
      let built = try build(programKey, for: key)
      handle = built
      return built
    }
  }

  private func build(_ program: ProgramKey, for key: KernelKey) throws -> Handle {
    let texts = (["common"] + program.files).map { kernelSource($0) }
    let known = texts.compactMap { $0 }
    guard known.count == texts.count else { throw RuntimeError.unknownKernel("\(key.file).\(key.function)") }
    let rounding = device.traits.quirks.contains(.reportsNoFusedMultiplyAdd) ? "#define fma mad\n" : ""
    let source = rounding + known.joined(separator: "\n")
    return try cache.program(source: source, options: program.options, context: context, device: device) {
      try compilation.timing {
        try buildWithoutHeader(source, name: key.file, options: program.options)
          ?? build(source, name: key.file, options: program.options)
      }
    }
  }

  /// Builds with Kernels/declarations.cl in place of PoCL's header, which takes nine tenths of a small program's time.
  ///
  /// The compiler's output is the same. What another PoCL refuses is built with the header, as everywhere else.
  ///
  /// - Returns: nil where it cannot be done.
  func buildWithoutHeader(_ source: String, name: String, options: String) throws -> Handle? {
    guard device.traits.platform.contains("Portable Computing Language"),
      !needsHeader.load(ordering: .relaxed),
      let declarations = kernelSource("declarations")
    else { return nil }
    do {
      // The macro by which the header, clang's opencl-c.h, knows that it has been read.
      return try build(declarations + source, name: name, options: options + " -D_OPENCL_H_")
    } catch RuntimeError.buildFailed(_, _, _, let log) where log.contains("error:") {
      needsHeader.store(true, ordering: .relaxed)
      return nil
    }
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
