import GraftSystem

/// What torchvision's ImageFolder finds in a folder: classes sorted by name, and each one's files, sorted.
///
/// Names are the bytes that the file system has. Links are followed; a link back to a folder above itself is not.
/// Hidden files and folders are left out. What cannot be followed is an error: a class never disappears.
struct FolderListing {
  var classNames: [String] = []
  var files: [(path: FilePath, label: Int32)] = []
  /// Files that no decoder reads, by ending in lower case; empty for those that have none.
  var leftOut: [String: Int] = [:]

  static let extensions: Set<String> = ["jpg", "jpeg", "jpe", "jfif", "png", "webp"]

  init(_ directory: FilePath) throws(DataError) {
    try Self.requireFolder(directory)
    var folders: [FilePath.Component] = []
    for name in try Self.children(directory) where try Self.isFolder(directory / name) {
      folders.append(name)
    }
    guard !folders.isEmpty else { throw .emptyFolder(directory) }
    let identity = Self.identity(directory)
    var named: [String: FilePath.Component] = [:]
    for (label, name) in folders.enumerated() {
      let className = escaped(name.bytes)
      // Two spellings of one name are equal as text, and different as folders.
      if let before = named.updateValue(name, forKey: className) {
        throw .sameClass(directory / before, directory / name)
      }
      classNames.append(className)
      let before = leftOut
      var found: [(path: FilePath, files: [FilePath.Component])] = []
      try walk(directory / name, above: [identity], into: &found)
      found.sort { Self.isBefore($0.path.bytes, $1.path.bytes) }
      let paths = found.flatMap { folder in folder.files.map { folder.path / $0 } }
      guard !paths.isEmpty else {
        throw .emptyClass(
          directory / name, leftOut: leftOut.merging(before) { $0 - $1 }.filter { $0.value > 0 })
      }
      files += paths.map { ($0, Int32(label)) }
    }
    if classNames.count == 1 { throw .oneClass(source: directory.escapedText, name: classNames[0]) }
  }

  /// All pictures below a folder, whatever its folders mean, sorted.
  init(picturesBelow directory: FilePath) throws(DataError) {
    try Self.requireFolder(directory)
    var found: [(path: FilePath, files: [FilePath.Component])] = []
    try walk(directory, above: [], into: &found)
    found.sort { Self.isBefore($0.path.bytes, $1.path.bytes) }
    files = found.flatMap { folder in folder.files.map { (folder.path / $0, 0) } }
  }

  private mutating func walk(
    _ directory: FilePath, above: Set<Identity?>,
    into folders: inout [(path: FilePath, files: [FilePath.Component])]
  ) throws(DataError) {
    let identity = Self.identity(directory)
    guard !above.contains(identity) else { return }
    var files: [FilePath.Component] = []
    for name in try Self.children(directory) {
      let path = directory / name
      let ending = name.extension?.lowercased() ?? ""
      // A picture that is a dead link is a broken picture; whoever reads it says so.
      if Self.extensions.contains(ending), Self.kind(of: path) != .directory {
        files.append(name)
      } else if try Self.isFolder(path) {
        try walk(path, above: above.union([identity]), into: &folders)
      } else {
        leftOut[ending, default: 0] += 1
      }
    }
    folders.append((directory, files))
  }

  /// Names that are not hidden, in the order of their bytes, which is Python's; Swift's own is by grapheme.
  private static func children(_ directory: FilePath) throws(DataError) -> [FilePath.Component] {
    do {
      let names = try Folder.names(in: directory).filter { !$0.isHidden }.map { (name: $0, bytes: $0.bytes) }
      return names.sorted { isBefore($0.bytes, $1.bytes) }.map(\.name)
    } catch {
      throw .unreadableFolder(directory, reason: error.description)
    }
  }

  private static func requireFolder(_ path: FilePath) throws(DataError) {
    let status: Stat
    do { status = try path.status() } catch .noSuchFileOrDirectory, .notDirectory {
      throw .missingFolder(path)
    } catch {
      throw .unreadableFolder(path, reason: error.description)
    }
    guard status.type == .directory else { throw .missingFolder(path) }
  }

  private static func kind(of path: FilePath) -> FileType? { (try? path.status())?.type }

  private static func isFolder(_ path: FilePath) throws(DataError) -> Bool {
    do { return try path.status().type == .directory } catch {
      throw .unreadableFolder(
        path, reason: error == .noSuchFileOrDirectory ? "it is a link to nothing" : error.description)
    }
  }

  /// Tells folders apart, whatever links lead to them; nil for what is not there.
  private struct Identity: Hashable {
    let device: DeviceID
    let inode: Inode
  }

  private static func identity(_ path: FilePath) -> Identity? {
    (try? path.status()).map { Identity(device: $0.deviceID, inode: $0.inode) }
  }

  private static func isBefore(_ a: [UInt8], _ b: [UInt8]) -> Bool { a.lexicographicallyPrecedes(b) }
}
