import GraftSystem
public import SystemPackage

/// Tensors that lie in several files, which an index lists: `model.safetensors.index.json` and the like.
///
/// The index is JSON whose `weight_map` gives each tensor's file; what else is in it (total sizes) is not needed and not
/// believed. The files lie in the index's folder, hold what it says, and nothing that it does not say.
public final class ShardedFile: TensorFile {
  /// Where the index was found.
  public let path: FilePath
  /// What the files say about each tensor.
  public let tensors: [String: TensorInfo]
  /// The tensors' names, in the order of their UTF-8 bytes.
  public let names: [String]
  /// Empty: what single files carry is not about the whole.
  public var metadata: [String: String] { [:] }
  /// The hash of what the files hold, see ``TensorFile/contentHash``: the same as that of one file with all of it.
  public var contentHash: String { hash.of(self) }

  private let shards: [String: any TensorFile]
  private let hash = ContentHash()

  private static let maximumIndexBytes = 32 << 20
  private static let maximumShards = 10_000

  /// Opens an index and all of its files.
  ///
  /// - Throws: ``CheckpointError``: a missing, unreadable or malformed index or file, a name outside the index's folder, a
  ///   tensor that is not where the index says.
  public init(index path: FilePath) throws(CheckpointError) {
    let bytes = try RegularFile.checkpointBytes(path, atMost: Self.maximumIndexBytes)
    let map = try Self.weightMap(bytes, path)
    var tensors: [String: TensorInfo] = [:]
    var shards: [String: any TensorFile] = [:]
    let byShard = Dictionary(grouping: map.keys, by: { map[$0, default: ""] })
    guard byShard.count <= Self.maximumShards else {
      throw Self.fault("it names more than \(Self.maximumShards) files", path)
    }
    for (name, held) in byShard.sorted(by: { Safetensors.precedes($0.key, $1.key) }) {
      let shard = try TensorFiles.openAlone(Self.place(of: name, beside: path))
      for tensor in shard.names where map[tensor] != name {
        let other = map[tensor].map { "in \(printable($0))" } ?? "nowhere"
        throw Self.fault(
          "tensor \(printable(tensor)) is in \(printable(name)), and by the index \(other)", path)
      }
      for tensor in held {
        guard let info = shard.tensors[tensor] else {
          throw Self.fault("tensor \(printable(tensor)) is not in \(printable(name))", path)
        }
        (tensors[tensor], shards[tensor]) = (info, shard)
      }
    }
    self.path = path
    self.tensors = tensors
    self.shards = shards
    names = tensors.keys.sorted(by: Safetensors.precedes)
  }

  /// The index that a file belongs to by its name, such as `model.safetensors.index.json` for
  /// `model-00001-of-00002.safetensors`; nil for a file that is whole.
  ///
  /// - Throws: ``CheckpointError/notWeights(path:reason:advice:)`` where the index is missing.
  static func index(of shard: FilePath) throws(CheckpointError) -> FilePath? {
    guard let ending = shard.extension, let stem = shard.stem else { return nil }
    let words = stem.split(separator: "-", omittingEmptySubsequences: false)
    guard words.count >= 4, words[words.count - 2] == "of", let number = Self.number(words[words.count - 3]),
      let count = Self.number(words[words.count - 1]), count > 1, (1...count).contains(number), shard.exists
    else { return nil }
    let index = shard.folder / "\(words.dropLast(3).joined(separator: "-")).\(ending).index.json"
    guard index.exists else {
      throw .notWeights(
        path: shard,
        reason: "it is one of \(count) files, and the index that lists them, \(printable(index)), is missing",
        advice: "Fetch all of the model's files into one folder.")
    }
    return index
  }

  private static func number(_ digits: Substring) -> Int? {
    digits.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(digits) : nil
  }

  /// File by tensor.
  static func weightMap(_ bytes: [UInt8], _ path: FilePath) throws(CheckpointError) -> [String: String] {
    guard String(validating: bytes, as: UTF8.self) != nil else { throw fault("it is not UTF-8", path) }
    var map: [String: String]?
    try bytes.withUnsafeBufferPointer { (bytes) throws(CheckpointError) in
      var scanner = JSONScanner(bytes: UnsafeRawBufferPointer(bytes), text: "index") { fault($0, path) }
      try scanner.object { (scanner, key) throws(CheckpointError) in
        guard key == "weight_map" else { return try scanner.skipValue() }
        guard map == nil else { throw scanner.fault("weight_map appears twice") }
        var files: [String: String] = [:]
        try scanner.object { (scanner, tensor) throws(CheckpointError) in
          guard files.updateValue(try scanner.string(), forKey: tensor) == nil else {
            throw scanner.fault("tensor \(printable(tensor)) appears twice")
          }
          guard files.count <= Safetensors.maximumTensors else {
            throw scanner.fault("it names more than \(Safetensors.maximumTensors) tensors")
          }
        }
        map = files
      }
      try scanner.end()
    }
    guard let map else { throw fault("it has no weight_map", path) }
    return map
  }

  /// Where a file of the index lies: in its folder, or below it.
  private static func place(of name: String, beside index: FilePath) throws(CheckpointError) -> FilePath {
    let relative = FilePath(name)
    guard !name.isEmpty, !name.contains("\0"), relative.isRelative,
      relative.components.allSatisfy({ $0.kind == .regular })
    else { throw fault("\(printable(name)) is no file beside it", index) }
    return index.folder.pushing(relative)
  }

  private static func fault(_ detail: String, _ path: FilePath) -> CheckpointError {
    .malformedFile(path: path, detail: "as an index of weights, \(detail)")
  }

  /// Calls `body` with a tensor's bytes: row-major, little-endian, perhaps not aligned.
  ///
  /// - Parameters:
  ///   - name: The tensor's name.
  ///   - body: Reads the bytes, which are valid only inside it.
  /// - Throws: ``CheckpointError/tensorMismatch(path:missing:unexpected:misshapen:)`` where there is no such
  ///   tensor, and what `body` throws.
  public func withRawBytes<R>(_ name: String, _ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
    guard let shard = shards[name] else { throw lacks(name) }
    return try shard.withRawBytes(name, body)
  }
}
