import GraftSystem
public import SystemPackage

/// A safetensors file, open for reading.
///
/// The header is checked as a whole when the file is opened; afterwards every tensor is known to lie inside
/// the file, apart from all others. The tensors' bytes are mapped, and read from the disk as they are used.
///
/// The file must not be truncated while it is open (the process would end); replacing it by renaming
/// another over it is harmless, and is how ``AtomicFile`` and ``Safetensors`` write.
public final class SafetensorsFile: TensorFile {
  /// Where the file was found.
  public let path: FilePath
  /// What the header says about each tensor.
  public let tensors: [String: TensorInfo]
  /// The tensors' names, in the order of their UTF-8 bytes.
  public let names: [String]
  /// The map of strings that the header may carry.
  public let metadata: [String: String]
  /// The hash of what the file holds, see ``TensorFile/contentHash``.
  public var contentHash: String { hash.of(self) }

  private let file: MappedFile
  private let places: [String: Range<Int>]
  private let hash = ContentHash()

  /// Opens a file and checks its header against the format's rules and the file's size.
  ///
  /// - Throws: ``CheckpointError``: missing or unreadable file, not safetensors, truncated, malformed header.
  public convenience init(path: FilePath) throws(CheckpointError) {
    let file: MappedFile
    do {
      file = try MappedFile(path)
    } catch {
      if let advice = WeightsFolder.advice(path) { throw .unreadable(path: path, reason: advice) }
      throw error
    }
    try self.init(file, path: path)
  }

  /// Checks a file that is mapped already.
  init(_ file: MappedFile, path: FilePath) throws(CheckpointError) {
    let (header, dataStart) = try file.withBytes { (bytes) throws(CheckpointError) in
      try Self.header(of: bytes, path: path)
    }
    self.path = path
    self.file = file
    tensors = header.tensors
    names = header.tensors.keys.sorted(by: Safetensors.precedes)
    metadata = header.metadata
    places = header.places.mapValues { dataStart + $0.lowerBound..<dataStart + $0.upperBound }
  }

  private static func header(
    of bytes: UnsafeRawBufferPointer, path: FilePath
  ) throws(CheckpointError) -> (SafetensorsHeader, dataStart: Int) {
    if let other = FileSignature(of: bytes) { throw other.error(for: path) }
    guard bytes.count >= 8 else {
      throw .truncated(path: path, neededBytes: 8, actualBytes: bytes.count)
    }
    let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
    guard length <= Safetensors.maximumHeaderBytes else {
      throw .notWeights(
        path: path,
        reason:
          "its first eight bytes are no length of a safetensors header, which has at most \(Safetensors.maximumHeaderBytes)"
      )
    }
    let end = 8 + Int(length)
    guard end <= bytes.count else {
      throw .truncated(path: path, neededBytes: end, actualBytes: bytes.count)
    }
    let header = try SafetensorsHeader(
      parsing: UnsafeRawBufferPointer(rebasing: bytes[8..<end]), dataBytes: bytes.count - end,
      path: path)
    return (header, end)
  }

  /// Calls `body` with a tensor's bytes as they are in the file: little-endian, perhaps not aligned.
  ///
  /// - Parameters:
  ///   - name: The tensor's name.
  ///   - body: Reads the bytes, which are valid only inside it.
  /// - Throws: ``CheckpointError/tensorMismatch(path:missing:unexpected:misshapen:)`` where there is no such
  ///   tensor, and what `body` throws.
  public func withRawBytes<R>(
    _ name: String, _ body: (UnsafeRawBufferPointer) throws -> R
  ) throws -> R {
    guard let place = places[name] else { throw lacks(name) }
    return try file.reading(place, body)
  }
}
