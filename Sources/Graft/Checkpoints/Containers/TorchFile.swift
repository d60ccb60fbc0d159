import GraftSystem
public import SystemPackage

/// A state dict that PyTorch saved (`.pth`, `.pt`, `.bin`, `.pth.tar`), open for reading.
///
/// Nothing in the file is executed: its pickle is read by a machine that knows how PyTorch describes dictionaries and
/// tensors and no more. Refused, with what to do, are TorchScript archives, models with their code, quantised and sparse
/// tensors, big-endian files, and pickles of protocol 4 and later. The state dict may lie under the names that
/// trainers give it (`model_ema`, `model`, `module`, `state_dict`, `base_model`, `teacher`) beside anything else. Tensors'
/// bytes are mapped; a view that is not row-major is copied when it is read.
public final class TorchFile: TensorFile {
  /// Where the file was found.
  public let path: FilePath
  /// What the file says about each tensor.
  public let tensors: [String: TensorInfo]
  /// The tensors' names, in the order of their UTF-8 bytes.
  public let names: [String]
  /// Empty: the format has none.
  public var metadata: [String: String] { [:] }
  /// The hash of what the file holds, see ``TensorFile/contentHash``.
  public var contentHash: String { hash.of(self) }

  private let file: MappedFile
  private let views: [String: StridedView]
  private let hash = ContentHash()

  /// Opens a file and checks its pickle, and its tensors against the file.
  ///
  /// - Throws: ``CheckpointError``: missing or unreadable file, no state dict in one of PyTorch's formats, damaged.
  public convenience init(path: FilePath) throws(CheckpointError) {
    try self.init(MappedFile(path), path: path)
  }

  /// Checks a file that is mapped already.
  init(_ file: MappedFile, path: FilePath) throws(CheckpointError) {
    let views = try file.withBytes { (bytes) throws(CheckpointError) in
      let isLegacy = bytes.starts(with: Self.legacyMagic)
      let layout = try isLegacy ? TorchLayout(legacy: bytes, path) : TorchLayout(zip: bytes, path)
      return try Self.views(layout, path)
    }
    self.path = path
    self.file = file
    self.views = views
    tensors = views.mapValues(\.info)
    names = views.keys.sorted(by: Safetensors.precedes)
  }

  private static func views(_ layout: TorchLayout, _ path: FilePath) throws(CheckpointError) -> [String:
    StridedView]
  {
    var views: [String: StridedView] = [:]
    for (name, value) in try layout.pickle.stateDict(path) {
      switch value {
      case .tensor(let index):
        let tensor = layout.pickle.tensors[index]
        let storage = layout.pickle.storages[tensor.storage]
        views[name] = StridedView(tensor, type: storage.type, place: try layout.place(of: storage, path))
      case .otherTensor(let other):
        throw .notWeights(
          path: path, reason: "its tensor \(printable(name)) holds \(other.what)", advice: other.advice)
      default: break
      }
    }
    guard views.count <= Safetensors.maximumTensors else {
      throw .malformedFile(path: path, detail: "it has more than \(Safetensors.maximumTensors) tensors")
    }
    return views
  }

  /// How a file of before version 1.6 begins: a pickle of a number.
  static let legacyMagic: [UInt8] = [
    0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e,
  ]

  /// Whether a zip archive is one of PyTorch's.
  static func mayBe(_ archive: ZipArchive) -> Bool {
    archive.members.keys.contains(where: TorchLayout.isPickle)
  }

  /// Calls `body` with a tensor's bytes: row-major, little-endian, perhaps not aligned.
  ///
  /// - Parameters:
  ///   - name: The tensor's name.
  ///   - body: Reads the bytes, which are valid only inside it.
  /// - Throws: ``CheckpointError/tensorMismatch(path:missing:unexpected:misshapen:)`` where there is no such
  ///   tensor, and what `body` throws.
  public func withRawBytes<R>(_ name: String, _ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
    guard let view = views[name] else { throw lacks(name) }
    if let place = view.whole { return try file.reading(place, body) }
    let copy = file.reading(view.place) { view.copy(of: $0) }
    return try copy.withUnsafeBytes(body)
  }
}

extension TorchPickle {
  /// The names of trainers for the dictionary that holds the weights, the first choice first.
  private static let wrappers = ["model_ema", "model", "module", "state_dict", "base_model", "teacher"]
  /// How many such names may stand before each other.
  private static let maximumWrappers = 4

  /// The entries of the dictionary that holds the weights.
  func stateDict(_ path: FilePath) throws(CheckpointError) -> [String: Value] {
    guard case .dictionary(let top) = root else {
      var what = "what it holds is no dictionary of tensors"
      if case .object(let name) = root {
        what = "what it holds is an object, \(printable(name)), with code of its own"
      }
      throw .notWeights(path: path, reason: what, advice: Self.advice)
    }
    if let found = weights(in: top, depth: Self.maximumWrappers) { return dictionaries[found].entries }
    for name in Self.wrappers {
      guard case .object(let what)? = dictionaries[top].entries[name] else { continue }
      throw .notWeights(
        path: path, reason: "its \(name) is an object, \(printable(what)), with code of its own",
        advice: Self.advice)
    }
    let keys = dictionaries[top].entries.keys.sorted(by: Safetensors.precedes)
    throw .notWeights(
      path: path,
      reason: "it holds no dictionary of tensors; its keys are: \(listed(keys.map { printable($0) }))",
      advice: Self.advice)
  }

  private static let advice =
    "Load it in Python, where you trust it, and save the model's state_dict with torch.save."

  /// The dictionary with tensors in or under one.
  private func weights(in index: Int, depth: Int) -> Int? {
    if depth > 0 {
      for name in Self.wrappers {
        if case .dictionary(let inner)? = dictionaries[index].entries[name],
          let found = weights(in: inner, depth: depth - 1)
        {
          return found
        }
      }
    }
    return dictionaries[index].holdsTensors ? index : nil
  }
}
