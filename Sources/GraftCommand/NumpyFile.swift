import Graft
import GraftSystem

/// One array as NumPy's `.npy`: a header in Python's words, then fp32 values, row-major, little-endian.
enum NumpyFile {
  /// - Throws: `CheckpointError` when it cannot be written.
  static func write(_ values: [Float], shape: [Int], to path: FilePath) throws(CheckpointError) {
    let sides = shape.map { "\($0)," }.joined(separator: " ")
    let words = "{'descr': '<f4', 'fortran_order': False, 'shape': (\(sides)), }"
    // Magic, version and length are ten bytes; spaces and a line feed fill up to a multiple of 64.
    let length = (words.utf8.count + 11 + 63) / 64 * 64 - 10
    var bytes: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(length & 255), UInt8(length >> 8)]
    bytes += Array(words.utf8) + [UInt8](repeating: 0x20, count: length - words.utf8.count - 1) + [0x0a]
    values.withUnsafeBytes { bytes += $0 }
    try AtomicFile.write(bytes, to: path)
  }
}
