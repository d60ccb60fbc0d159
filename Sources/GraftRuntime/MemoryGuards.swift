import Synchronization

/// Watches the bytes behind every buffer, so that a test sees a kernel that writes past its end.
final class MemoryGuards: Sendable {
  /// A quiet NaN: whoever reads memory that was never written gets it in the result.
  static let pattern: UInt32 = 0x7FC0_1234
  /// Watched bytes behind a buffer.
  static let byteCount = 256

  private let watched = Mutex<[(buffer: Buffer, end: Int)]>([])

  func watch(_ buffer: Buffer, from end: Int) { watched.withLock { $0.append((buffer, end)) } }

  /// Number of buffers whose guard bytes changed; stops watching them all.
  func damaged(read: (Buffer, UnsafeMutableRawBufferPointer) throws -> Void) throws -> Int {
    let list = watched.withLock { list in
      defer { list = [] }
      return list
    }
    var damaged = 0
    for (buffer, end) in list {
      var bytes = [UInt8](repeating: 0, count: buffer.byteCount)
      try bytes.withUnsafeMutableBytes { try read(buffer, $0) }
      let first = (end + 3) / 4 * 4
      let isWhole = bytes.withUnsafeBytes { raw in
        stride(from: first, to: raw.count / 4 * 4, by: 4)
          .allSatisfy { raw.loadUnaligned(fromByteOffset: $0, as: UInt32.self) == Self.pattern }
      }
      if !isWhole { damaged += 1 }
    }
    return damaged
  }
}
