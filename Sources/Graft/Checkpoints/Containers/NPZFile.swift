import GraftSystem
public import SystemPackage

/// An archive of NumPy's arrays (`.npz`), open for reading: a zip archive of `.npy` files, stored or compressed.
///
/// A tensor's name is its member's without `.npy`. Arrays that are stored are slices of the mapped file; compressed ones
/// are unpacked once when the file is opened, to check them, and again whenever they are read.
public final class NPZFile: TensorFile {
  /// Where the file was found.
  public let path: FilePath
  /// What the file says about each array.
  public let tensors: [String: TensorInfo]
  /// The arrays' names, in the order of their UTF-8 bytes.
  public let names: [String]
  /// Empty: the format has none.
  public var metadata: [String: String] { [:] }
  /// The hash of what the file holds, see ``TensorFile/contentHash``.
  public var contentHash: String { hash.of(self) }

  private let file: MappedFile
  private let arrays: [String: StoredArray]
  private let hash = ContentHash()

  private static let ending = ".npy"

  /// Opens a file and checks its directory and every array's header.
  ///
  /// - Throws: ``CheckpointError``: missing or unreadable file, no such archive, damaged, an array of a type or order that
  ///   is not read.
  public convenience init(path: FilePath) throws(CheckpointError) {
    try self.init(MappedFile(path), path: path)
  }

  /// Checks a file that is mapped already.
  init(_ file: MappedFile, path: FilePath) throws(CheckpointError) {
    let arrays = try file.withBytes { (bytes) throws(CheckpointError) in
      var arrays: [String: StoredArray] = [:]
      for (member, place) in try ZipArchive(bytes, path: path).members where member.hasSuffix(Self.ending) {
        let name = String(member.dropLast(Self.ending.count))
        arrays[name] = try StoredArray(name, place, bytes, path)
      }
      return arrays
    }
    guard arrays.count <= Safetensors.maximumTensors else {
      throw .malformedFile(path: path, detail: "it has more than \(Safetensors.maximumTensors) arrays")
    }
    self.path = path
    self.file = file
    self.arrays = arrays
    tensors = arrays.mapValues(\.info)
    names = arrays.keys.sorted(by: Safetensors.precedes)
  }

  /// Whether a zip archive is one of NumPy's.
  static func mayBe(_ archive: ZipArchive) -> Bool { archive.members.keys.contains { $0.hasSuffix(ending) } }

  /// Calls `body` with an array's bytes: row-major, little-endian, perhaps not aligned.
  ///
  /// - Parameters:
  ///   - name: The array's name.
  ///   - body: Reads the bytes, which are valid only inside it.
  /// - Throws: ``CheckpointError/tensorMismatch(path:missing:unexpected:misshapen:)`` where there is no such
  ///   array, and what `body` throws.
  public func withRawBytes<R>(_ name: String, _ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
    guard let array = arrays[name] else { throw lacks(name) }
    let member = array.member
    guard member.method == ZipArchive.deflated else {
      let values = member.place.lowerBound + array.dataStart..<member.place.upperBound
      return try file.reading(values, body)
    }
    var unpacked: [UInt8] = []
    unpacked.reserveCapacity(member.size)
    let fault = file.reading(member.place) { packed in
      Inflate.run(packed, size: member.size, checksum: member.checksum) { unpacked += $0 }
    }
    // It was right when the file was opened.
    if let fault {
      throw ZipArchive.fault("member \(printable(name + Self.ending)) has changed: \(fault)", path)
    }
    return try unpacked.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[array.dataStart...])) }
  }
}

/// One array in the archive.
private struct StoredArray {
  let info: TensorInfo
  let member: ZipArchive.Member
  /// Bytes before its values, once it is unpacked.
  let dataStart: Int

  /// Looks at a member's header, and unpacks it to nowhere where it is compressed.
  init(_ name: String, _ member: ZipArchive.Member, _ file: UnsafeRawBufferPointer, _ path: FilePath)
    throws(CheckpointError)
  {
    let bytes = UnsafeRawBufferPointer(rebasing: file[member.place])
    let header: NPYHeader
    switch member.method {
    case ZipArchive.stored: header = try NPYHeader(bytes, array: name, path: path)
    case ZipArchive.deflated:
      var head: [UInt8] = []
      let fault = Inflate.run(bytes, size: member.size, checksum: member.checksum) {
        head += $0.prefix(NPYHeader.maximumBytes - head.count)
      }
      if let fault { throw ZipArchive.fault("member \(printable(name)).npy is damaged: \(fault)", path) }
      header = try head.withUnsafeBufferPointer { (head) throws(CheckpointError) in
        try NPYHeader(UnsafeRawBufferPointer(head), array: name, path: path)
      }
    default:
      throw .notWeights(
        path: path, reason: "its array \(printable(name)) is compressed by method \(member.method)",
        advice: "Save it again with numpy.savez or numpy.savez_compressed.")
    }
    guard let needed = header.type.bytes(of: header.count), needed == member.size - header.size else {
      throw .malformedFile(
        path: path,
        detail:
          "array \(printable(name)) is \(header.type.rawValue) \(header.shape) but spans \(member.size - header.size) bytes"
      )
    }
    info = TensorInfo(type: header.type, shape: header.shape, count: header.count)
    self.member = member
    dataStart = header.size
  }
}
