import GraftSystem

/// Rows in safetensors files under a folder, a tensor a row.
///
/// What belongs together lies in a folder of its own, named by a hash of what it belongs to. Files are written whole and
/// never changed, so that processes can share them. A file that cannot be read, or is of something else, counts for
/// nothing: its rows are computed again.
final class FeatureFolder: FeatureStore {
  /// Bytes of rows that are gathered for one file.
  private static let fileBytes = 64 << 20
  private static let aboutKey = "graft_features"

  private let folder: FilePath
  private let about: String
  private var files: [SafetensorsFile] = []
  /// In which file a row lies.
  private var places: [String: Int] = [:]
  private var gathered: [String: [Float]] = [:]
  private var gatheredBytes = 0
  private(set) var room: Int
  private(set) var bytes = 0

  /// - Parameters:
  ///   - path: the folder for features of all kinds.
  ///   - about: what the rows depend on besides the pixels.
  ///   - limit: most bytes in all files under `path`.
  /// - Throws: ``CheckpointError/cannotWrite(path:reason:)``.
  init(_ path: FilePath, about: String, limit: Int) throws {
    self.about = about
    folder = path / String(hexadecimal(Array(about.utf8).withUnsafeBytes(SHA256.hash)).prefix(16))
    try AtomicFile.requireWritable(folder: folder)
    room = limit - Self.byteCount(under: path)
    let names = ((try? Folder.names(in: folder)) ?? []).compactMap(\.text)
    for name in names.sorted() where name.hasSuffix(".safetensors") { adopt(folder / name) }
  }

  private func adopt(_ path: FilePath) {
    guard let file = try? SafetensorsFile(path: path), file.metadata[Self.aboutKey] == about else { return }
    for (name, tensor) in file.tensors where places.updateValue(files.count, forKey: name) == nil {
      bytes += 4 * tensor.count
    }
    files.append(file)
  }

  private static func byteCount(under path: FilePath) -> Int {
    // Two levels: a folder a kind of features, and files in it.
    ((try? Folder.names(in: path)) ?? []).reduce(0) { sum, name in
      guard let status = try? (path / name).status() else { return sum }
      return sum + (status.type == .directory ? byteCount(under: path / name) : Int(status.size))
    }
  }

  func holds(_ name: String) -> Bool { gathered[name] != nil || places[name] != nil }

  func row(_ name: String, count: Int) -> [Float]? {
    if let row = gathered[name] { return row }
    guard let place = places[name] else { return nil }
    guard let row = try? files[place].floats(name, requireFinite: true), row.count == count else {
      discard(place)
      return nil
    }
    return row
  }

  /// Forgets a damaged file and removes it, so that what is computed in its place is found next time.
  private func discard(_ place: Int) {
    places = places.filter { $0.value != place }
    try? files[place].path.remove()
  }

  func keep(_ row: [Float], as name: String) throws {
    let bytes = row.count * 4
    guard !holds(name), bytes <= room else { return }
    gathered[name] = row
    gatheredBytes += bytes
    room -= bytes
    if gatheredBytes >= Self.fileBytes { try flush() }
  }

  func flush() throws {
    guard !gathered.isEmpty else { return }
    let path = folder / "\(String(UInt64.random(in: 0 ... .max), radix: 36)).safetensors"
    try Safetensors.write(
      gathered.map { (name: $0, shape: [$1.count], values: $1) }, metadata: [Self.aboutKey: about], to: path)
    gathered = [:]
    gatheredBytes = 0
    adopt(path)
  }
}
