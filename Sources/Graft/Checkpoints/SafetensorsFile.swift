import Dispatch
import Synchronization
public import SystemPackage

/// A safetensors file, open for reading.
///
/// The header is checked as a whole when the file is opened; afterwards every tensor is known to lie inside
/// the file, apart from all others. The tensors' bytes are mapped, and read from the disk as they are used.
///
/// The file must not be truncated while it is open (the process would end); replacing it by renaming
/// another over it is harmless, and is how ``AtomicFile`` and ``Safetensors`` write.
public final class SafetensorsFile: Sendable {
  /// Where the file was found.
  public let path: FilePath
  /// What the header says about each tensor.
  public let tensors: [String: Safetensors.TensorInfo]
  /// The tensors' names, in the order of their UTF-8 bytes.
  public let names: [String]
  /// The map of strings that the header may carry.
  public let metadata: [String: String]

  private let file: MappedFile
  private let dataStart: Int
  private let cachedHash = Mutex<String?>(nil)

  /// Opens a file and checks its header against the format's rules and the file's size.
  ///
  /// - Throws: ``CheckpointError``: missing or unreadable file, not safetensors, truncated, malformed header.
  public init(path: FilePath) throws(CheckpointError) {
    let file: MappedFile
    do {
      file = try MappedFile(path)
    } catch {
      if let advice = WeightsFolder.advice(path) { throw .unreadable(path: path, reason: advice) }
      throw error
    }
    let (header, dataStart) = try file.withBytes { (bytes) throws(CheckpointError) in
      try Self.header(of: bytes, path: path)
    }
    self.path = path
    self.file = file
    self.dataStart = dataStart
    tensors = header.tensors
    names = header.tensors.keys.sorted(by: Safetensors.precedes)
    metadata = header.metadata
  }

  private static func header(
    of bytes: UnsafeRawBufferPointer, path: FilePath
  ) throws(CheckpointError) -> (SafetensorsHeader, dataStart: Int) {
    if let other = FileSignature(of: bytes) {
      throw .notSafetensors(path: path, reason: other.what, advice: other.advice.text(for: path))
    }
    guard bytes.count >= 8 else {
      throw .truncated(path: path, neededBytes: 8, actualBytes: bytes.count)
    }
    let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
    guard length <= Safetensors.maximumHeaderBytes else {
      throw .notSafetensors(
        path: path,
        reason:
          "its first eight bytes are no length of a header, which has at most \(Safetensors.maximumHeaderBytes)"
      )
    }
    let end = 8 + Int(length)
    guard end <= bytes.count else {
      throw .truncated(path: path, neededBytes: end, actualBytes: bytes.count)
    }
    let header = try SafetensorsHeader(
      parsing: UnsafeRawBufferPointer(rebasing: bytes[8..<end]), dataBytes: bytes.count - end, path: path)
    return (header, end)
  }

  // MARK: Reading

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
    let info = try info(name)
    return try file.withBytes { try body(slice($0, info)) }
  }

  /// A tensor's values; those of 16-bit formats are converted exactly.
  ///
  /// - Parameters:
  ///   - name: The tensor's name.
  ///   - requireFinite: Refuses infinities and NaN.
  /// - Throws: ``CheckpointError``: no such tensor, another type than F32, F16 or BF16, a value that is not
  ///   finite.
  public func floats(_ name: String, requireFinite: Bool = false) throws(CheckpointError) -> [Float] {
    let info = try info(name)
    let values: [Float]
    switch info.type {
    case .f32: values = copy(info, zero: 0)
    case .f16: values = copy(info, zero: UInt16(0)).map(HalfPrecision.float(half:))
    case .bf16: values = copy(info, zero: UInt16(0)).map(HalfPrecision.float(brain:))
    default: throw unsupported(name, info, wanted: "floats")
    }
    if requireFinite, let index = values.firstIndex(where: { !$0.isFinite }) {
      throw .nonFinite(path: path, tensor: name, index: index)
    }
    return values
  }

  /// The values of an I32 tensor.
  ///
  /// - Throws: ``CheckpointError``: no such tensor, or another type than I32.
  public func int32s(_ name: String) throws(CheckpointError) -> [Int32] {
    let info = try info(name)
    guard info.type == .i32 else { throw unsupported(name, info, wanted: "Int32") }
    return copy(info, zero: 0)
  }

  /// Checks that the file holds exactly these tensors, and names all that do not fit at once.
  ///
  /// - Parameters:
  ///   - expected: Shape by name.
  ///   - ignoring: Says which other names may be there.
  /// - Throws: ``CheckpointError/tensorMismatch(path:missing:unexpected:misshapen:)``.
  public func requireTensors(
    _ expected: [String: [Int]], ignoring: (String) -> Bool = { _ in false }
  ) throws(CheckpointError) {
    let missing = expected.keys.filter { tensors[$0] == nil }.sorted(by: Safetensors.precedes)
    let unexpected = names.filter { expected[$0] == nil && !ignoring($0) }
    let misshapen = names.compactMap { name -> CheckpointError.Misshapen? in
      guard let shape = expected[name], let actual = tensors[name]?.shape, actual != shape else { return nil }
      return CheckpointError.Misshapen(name: name, expected: shape, actual: actual)
    }
    guard missing.isEmpty, unexpected.isEmpty, misshapen.isEmpty else {
      throw .tensorMismatch(path: path, missing: missing, unexpected: unexpected, misshapen: misshapen)
    }
  }

  private func info(_ name: String) throws(CheckpointError) -> Safetensors.TensorInfo {
    guard let info = tensors[name] else {
      throw .tensorMismatch(path: path, missing: [name], unexpected: [], misshapen: [])
    }
    return info
  }

  private func unsupported(
    _ name: String, _ info: Safetensors.TensorInfo, wanted: String
  ) -> CheckpointError {
    .unsupportedType(path: path, tensor: name, type: info.type.rawValue, wanted: wanted)
  }

  private func slice(
    _ bytes: UnsafeRawBufferPointer, _ info: Safetensors.TensorInfo
  ) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: bytes[place(of: info)])
  }

  private func place(of info: Safetensors.TensorInfo) -> Range<Int> {
    dataStart + info.byteRange.lowerBound..<dataStart + info.byteRange.upperBound
  }

  /// Copies a tensor whose elements are `Element`s; every platform of Swift's is little-endian, as the
  /// format is.
  private func copy<Element: BitwiseCopyable>(
    _ info: Safetensors.TensorInfo, zero: Element
  ) -> [Element] {
    var values = [Element](repeating: zero, count: info.count)
    file.withBytes { bytes in
      values.withUnsafeMutableBytes { $0.copyMemory(from: slice(bytes, info)) }
    }
    // A backbone is read once: its file must not stay in memory beside it.
    file.forget(place(of: info))
    return values
  }

  // MARK: Hash

  /// The hash of what the file holds, as 64 hexadecimal digits: a backbone's identity.
  ///
  /// The SHA-256 of, for each tensor in the order of ``names``: the name's length in bytes and the name,
  /// the type's length and name (as in the header), the rank and the dimensions, and the SHA-256 of its
  /// bytes; numbers as 64-bit little-endian. Metadata and the order in the file do not count; the precision
  /// does. Reads the whole file, on all cores, the first time.
  public var contentHash: String {
    cachedHash.withLock { cached in
      if let cached { return cached }
      let digests = Mutex([[UInt8]](repeating: [], count: names.count))
      DispatchQueue.concurrentPerform(iterations: names.count) { index in
        guard let info = tensors[names[index]] else { return }
        let digest = file.withBytes { SHA256.hash(slice($0, info)) }
        file.forget(place(of: info))
        digests.withLock { $0[index] = digest }
      }
      let hash = digests.withLock { digests in
        var hasher = SHA256()
        for (name, digest) in zip(names, digests) {
          guard let info = tensors[name] else { continue }
          let type = info.type.rawValue
          hasher.update(Self.bytes(name.utf8.count) + Array(name.utf8))
          hasher.update(Self.bytes(type.utf8.count) + Array(type.utf8))
          hasher.update(Self.bytes(info.shape.count) + info.shape.flatMap(Self.bytes))
          hasher.update(digest)
        }
        return hexadecimal(hasher.finalize())
      }
      cached = hash
      return hash
    }
  }

  private static func bytes(_ number: Int) -> [UInt8] {
    withUnsafeBytes(of: UInt64(number).littleEndian) { Array($0) }
  }
}
