import GraftSystem

/// Where a file of PyTorch's keeps its pickle and its storages, in either of its formats.
struct TorchLayout {
  let pickle: TorchPickle
  private let storages: [String: Range<Int>]

  /// Where a storage's elements lie in the file.
  func place(of storage: TorchPickle.Storage, _ path: FilePath) throws(CheckpointError) -> Range<Int> {
    guard let place = storages[storage.key] else {
      throw .malformedFile(path: path, detail: "its storage \(printable(storage.key)) is missing")
    }
    guard storage.type.bytes(of: storage.count) == place.count else {
      throw .malformedFile(
        path: path,
        detail:
          "its storage \(printable(storage.key)) has \(place.count) bytes, and \(storage.count) elements of \(storage.type.rawValue) by the pickle"
      )
    }
    return place
  }
}

// MARK: Since 1.6

extension TorchLayout {
  /// Whether a member is the pickle: one folder holds all.
  static func isPickle(_ member: String) -> Bool {
    member.hasSuffix("/data.pkl") && member.utf8.count { $0 == UInt8(ascii: "/") } == 1
  }

  /// A zip archive with `NAME/data.pkl` and a member a storage, `NAME/data/KEY`, all of them stored as they are.
  init(zip bytes: UnsafeRawBufferPointer, _ path: FilePath) throws(CheckpointError) {
    let archive = try ZipArchive(bytes, path: path)
    let pickles = archive.members.keys.filter(Self.isPickle)
    guard let member = pickles.first, pickles.count == 1, let pickle = archive.members[member] else {
      throw .malformedFile(path: path, detail: "it holds \(pickles.count) files data.pkl in place of one")
    }
    let folder = String(member.dropLast("data.pkl".count))
    guard
      !archive.members.keys.contains(where: {
        $0 == folder + "constants.pkl" || $0.hasPrefix(folder + "code/")
      })
    else {
      throw .notWeights(
        path: path, reason: "it is a TorchScript archive: a program with its weights",
        advice: "In Python, save torch.jit.load(FILE).state_dict() with torch.save.")
    }
    let start = folder + "data/"
    var storages: [String: Range<Int>] = [:]
    for (name, member) in archive.members where name.hasPrefix(start) {
      try Self.checkStored(name, member, path)
      storages[String(name.dropFirst(start.count))] = member.place
    }
    try Self.checkStored(member, pickle, path)
    try Self.checkByteOrder(archive.members[folder + "byteorder"], bytes, path)
    guard pickle.size <= TorchPickle.maximumBytes else {
      throw .malformedFile(path: path, detail: "its pickle has \(pickle.size) bytes")
    }
    self.storages = storages
    self.pickle = try TorchPickle(UnsafeRawBufferPointer(rebasing: bytes[pickle.place]), path: path)
  }

  private static func checkStored(_ name: String, _ member: ZipArchive.Member, _ path: FilePath)
    throws(CheckpointError)
  {
    guard member.method == ZipArchive.stored else {
      throw .notWeights(
        path: path, reason: "its member \(printable(name)) is compressed, which PyTorch does not do",
        advice: "Load it in Python, where you trust it, and save it again with torch.save.")
    }
  }

  private static func checkByteOrder(
    _ member: ZipArchive.Member?, _ bytes: UnsafeRawBufferPointer, _ path: FilePath
  ) throws(CheckpointError) {
    guard let member else { return }
    try checkStored("byteorder", member, path)
    guard !bytes[member.place].elementsEqual("little".utf8) else { return }
    throw bigEndian(path)
  }

  private static func bigEndian(_ path: FilePath) -> CheckpointError {
    .notWeights(
      path: path, reason: "its numbers are big-endian: it was saved on another kind of machine",
      advice: "Load it in Python on this one, and save it again with torch.save.")
  }
}

// MARK: Before 1.6

extension TorchLayout {
  /// Five pickles in a row: a mark, a version, facts of the machine, what was saved, and the storages' keys; then each storage
  /// behind its number of elements.
  init(legacy bytes: UnsafeRawBufferPointer, _ path: FilePath) throws(CheckpointError) {
    var rest = UnsafeRawBufferPointer(rebasing: bytes[TorchFile.legacyMagic.count...])
    func next() throws(CheckpointError) -> TorchPickle {
      let pickle = try TorchPickle(rest, path: path)
      rest = UnsafeRawBufferPointer(rebasing: rest[pickle.size...])
      return pickle
    }
    guard case .integer(1001) = try next().root else {
      throw .malformedFile(path: path, detail: "it is a PyTorch file of a version that never was")
    }
    let machine = try next()
    guard case .dictionary(let facts) = machine.root,
      case .flag(let isLittle)? = machine.dictionaries[facts].entries["little_endian"]
    else { throw .malformedFile(path: path, detail: "it does not say the order of bytes") }
    guard isLittle else { throw Self.bigEndian(path) }
    pickle = try next()
    let list = try next()
    guard let keys = list.items(list.root) else {
      throw .malformedFile(path: path, detail: "it lists no storages")
    }
    var storages: [String: Range<Int>] = [:]
    var position = bytes.count - rest.count
    for key in keys {
      guard case .text(let key) = key, let index = pickle.storageIndices[key], storages[key] == nil else {
        throw .malformedFile(
          path: path, detail: "it lists a storage twice, or one of no tensor or of a type that is not read")
      }
      let storage = pickle.storages[index]
      guard let count = bytes.number(Int64.self, at: position),
        let size = storage.type.bytes(of: storage.count), bytes.slice(at: position + 8, count: size) != nil
      else { throw Self.truncated(storage, at: position, of: bytes.count, path) }
      guard count == storage.count else {
        throw .malformedFile(
          path: path,
          detail: "its storage \(printable(key)) has \(count) elements, and \(storage.count) by the pickle")
      }
      storages[key] = position + 8..<position + 8 + size
      position += 8 + size
    }
    self.storages = storages
  }

  private static func truncated(
    _ storage: TorchPickle.Storage, at position: Int, of total: Int, _ path: FilePath
  ) -> CheckpointError {
    let (end, overflow) = (position + 8).addingReportingOverflow(
      storage.type.bytes(of: storage.count) ?? .max)
    return .truncated(path: path, neededBytes: overflow ? .max : end, actualBytes: total)
  }
}
