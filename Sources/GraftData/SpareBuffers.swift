import Synchronization

/// Memory of decoded pictures, used for the next ones.
///
/// The system clears every page of new memory, which for a photograph takes a fifth of the time of its decoding.
final class SpareBuffers: Sendable {
  /// Largest buffer that is held while nobody needs it.
  private static let largest = 64 << 20

  private let buffers = Mutex<[[UInt8]]>([])

  /// So many bytes of any value.
  func take(_ count: Int) -> [UInt8] {
    guard var buffer = buffers.withLock({ $0.popLast() }), buffer.capacity >= count else {
      return [UInt8](unsafeUninitializedCapacity: count) { $1 = count }
    }
    if buffer.count > count {
      buffer.removeLast(buffer.count - count)
    } else {
      buffer.append(contentsOf: repeatElement(0, count: count - buffer.count))
    }
    return buffer
  }

  /// Takes back what is needed no more.
  func giveBack(_ buffer: [UInt8]) {
    guard buffer.capacity <= Self.largest else { return }
    buffers.withLock { $0.append(buffer) }
  }
}
