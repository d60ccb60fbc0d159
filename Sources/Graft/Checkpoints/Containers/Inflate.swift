import CZlib
import GraftSystem

/// Unpacks what zip archives call deflated, piece by piece.
enum Inflate {
  /// Calls `body` with the unpacked bytes, a piece at a time.
  ///
  /// - Parameters:
  ///   - packed: A raw deflate stream.
  ///   - size: How many bytes it must unpack to.
  ///   - checksum: Their CRC-32.
  ///   - body: Takes the pieces in order, which are valid only inside it; together never more than `size` bytes.
  /// - Returns: What is wrong with the stream; nil where it is as it should be.
  static func run(
    _ packed: UnsafeRawBufferPointer, size: Int, checksum: UInt32, _ body: (UnsafeRawBufferPointer) -> Void
  ) -> String? {
    var stream = z_stream()
    // A negative number of bits stands for a stream without zlib's own header.
    guard inflateInit2_(&stream, -MAX_WBITS, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
      return "zlib cannot be started"
    }
    defer { inflateEnd(&stream) }
    let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 16)
    defer { piece.deallocate() }
    var rest = packed[...]
    var (done, sum, status) = (0, crc32(0, nil, 0), Z_OK)
    while status == Z_OK {
      if stream.avail_in == 0, !rest.isEmpty {
        // zlib counts in 32 bits.
        let input = UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 30))
        stream.next_in = UnsafeMutablePointer(mutating: input.bindMemory(to: UInt8.self).baseAddress)
        stream.avail_in = UInt32(input.count)
        rest = rest.dropFirst(input.count)
      }
      stream.next_out = piece.bindMemory(to: UInt8.self).baseAddress
      stream.avail_out = UInt32(piece.count)
      status = inflate(&stream, Z_NO_FLUSH)
      let made = UnsafeRawBufferPointer(rebasing: piece.prefix(piece.count - Int(stream.avail_out)))
      guard made.count <= size - done else { return "it unpacks to more than its \(size) bytes" }
      done += made.count
      sum = crc32(sum, made.bindMemory(to: UInt8.self).baseAddress, UInt32(made.count))
      body(made)
    }
    guard status == Z_STREAM_END, stream.avail_in == 0, rest.isEmpty else {
      return "its compressed bytes are damaged"
    }
    guard done == size else { return "it unpacks to \(done) of its \(size) bytes" }
    return UInt32(truncatingIfNeeded: sum) == checksum ? nil : "its check sum is wrong"
  }
}
