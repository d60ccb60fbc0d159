import COpenCL
import GraftSystem

/// Compiled programs on disk, for drivers that keep none themselves.
///
/// A file is used only if its whole key (source, options, device, driver) is equal. Any failure, of reading, writing
/// or of the driver refusing the binary, falls back to the source and is not an error. `GRAFT_PROGRAM_CACHE`
/// names another folder, or `off`.
struct ProgramCache: Sendable {
  private static let magic = "graft program 1\n"
  /// Binaries are far smaller.
  private static let mostBytes = 256 << 20
  let folder: FilePath?

  init(folder: FilePath?) { self.folder = folder }

  init(traits: DeviceTraits) {
    // Empty counts as unset: it is not the working directory.
    let asked = environment("GRAFT_PROGRAM_CACHE").flatMap { $0.isEmpty ? nil : $0 }
    if asked == "off" || (asked == nil && traits.quirks.contains(.cachesPrograms)) {
      folder = nil
    } else {
      folder = environmentPath("GRAFT_PROGRAM_CACHE") ?? userCaches.map { $0 / "graft/programs" }
    }
  }

  /// The cached program, or the one that `build` makes, which is then remembered.
  func program(
    source: String, options: String, context: Handle, device: Device, build: () throws -> Handle
  ) throws -> Handle {
    guard let folder else { return try build() }
    let key = Array(
      [Self.magic, device.traits.identity, device.traits.version, options, source]
        .joined(separator: "\0").utf8)
    let file = folder / (String(fnv1a(key), radix: 16) + ".bin")
    if let program = load(file, key: key, options: options, context: context, device: device) {
      return program
    }
    let program = try build()
    store(program, in: file, key: key)
    return program
  }

  /// A file is the key, then the binary.
  private func load(_ file: FilePath, key: [UInt8], options: String, context: Handle, device: Device)
    -> Handle?
  {
    guard let bytes = try? RegularFile.read(file, atMost: Self.mostBytes), bytes.count > key.count,
      bytes.starts(with: key)
    else { return nil }
    let binary = Array(bytes.dropFirst(key.count))
    return try? binary.withUnsafeBufferPointer { bytes -> Handle? in
      var id: cl_device_id? = device.handle.pointer
      var length = bytes.count
      var pointer: UnsafePointer<UInt8>? = bytes.baseAddress
      let program = try openCL("clCreateProgramWithBinary") {
        clCreateProgramWithBinary(context.pointer, 1, &id, &length, &pointer, nil, &$0)
      }
      guard let handle = program.map({ Handle(owning: $0, .program) }) else { return nil }
      try openCL("clBuildProgram") { $0 = clBuildProgram(handle.pointer, 1, &id, options, nil, nil) }
      return handle
    }
  }

  private func store(_ program: Handle, in file: FilePath, key: [UInt8]) {
    guard let binary = try? binary(of: program), !binary.isEmpty else { return }
    // The folder is the user's own: a cached binary is code.
    try? Folder.make(file.folder, 0o700)
    try? AtomicWrite.write(to: file) { output in
      try output.writeAll(key)
      try output.writeAll(binary)
    }
  }

  private func binary(of program: Handle) throws -> [UInt8] {
    var size = 0
    try openCL("clGetProgramInfo") {
      $0 = clGetProgramInfo(
        program.pointer, cl_program_info(CL_PROGRAM_BINARY_SIZES), MemoryLayout<Int>.size, &size, nil)
    }
    return try [UInt8](unsafeUninitializedCapacity: size) { bytes, initialized in
      guard size > 0 else { return }
      var pointer = bytes.baseAddress
      try openCL("clGetProgramInfo") {
        $0 = clGetProgramInfo(
          program.pointer, cl_program_info(CL_PROGRAM_BINARIES),
          MemoryLayout<UnsafeMutablePointer<UInt8>?>.size, &pointer, nil)
      }
      initialized = size
    }
  }
}

/// A short number for a file's name; what it stands for is compared in full.
func fnv1a(_ bytes: [UInt8]) -> UInt64 {
  bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
}
