/// What Linux says of memory that is free, or would be if it were needed.
enum FreeMemory {
  /// `MemAvailable` of `/proc/meminfo`, in bytes.
  static var stated: Int? { text(of: "/proc/meminfo").flatMap(available) }

  /// The figure in a text such as `MemAvailable:   16130456 kB`.
  static func available(_ text: String) -> Int? {
    let line = text.split(separator: "\n").first { $0.hasPrefix("MemAvailable:") }
    return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 << 10 }
  }

  /// Files of the kernel's have no size that could be asked for.
  private static func text(of path: FilePath) -> String? {
    guard let file = try? FileDescriptor.open(path, .readOnly, options: .closeOnExec) else { return nil }
    defer { try? file.close() }
    let bytes = try? [UInt8](unsafeUninitializedCapacity: 4096) { buffer, filled in
      filled = try file.read(into: UnsafeMutableRawBufferPointer(buffer))
    }
    return bytes.map { String(decoding: $0, as: UTF8.self) }
  }
}
