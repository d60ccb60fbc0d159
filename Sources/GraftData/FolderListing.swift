import Foundation

/// What torchvision's ImageFolder finds in a folder: classes sorted by name, and each one's files, sorted.
///
/// Links are followed; a link back to a folder above itself is not. Hidden files and folders are left out.
struct FolderListing {
  var classNames: [String] = []
  var files: [(path: String, label: Int32)] = []

  static let extensions: Set<String> = ["jpg", "jpeg", "png", "webp"]

  init(_ directory: String) throws(DataError) {
    guard Self.isDirectory(directory) else { throw .missingFolder(directory) }
    for name in try Self.children(directory) where Self.isDirectory(directory + "/" + name) {
      classNames.append(name)
    }
    guard !classNames.isEmpty else { throw .emptyFolder(directory) }
    for (label, name) in classNames.enumerated() {
      var folders: [(path: String, files: [String])] = []
      try Self.walk(directory + "/" + name, above: [Self.resolved(directory)], into: &folders)
      folders.sort { Self.isBefore($0.path, $1.path) }
      let paths = folders.flatMap { folder in folder.files.map { folder.path + "/" + $0 } }
      guard !paths.isEmpty else { throw .emptyClass(directory + "/" + name) }
      files += paths.map { ($0, Int32(label)) }
    }
    if classNames.count == 1 { throw .oneClass(source: directory, name: classNames[0]) }
  }

  private static func walk(
    _ directory: String, above: Set<String>, into folders: inout [(path: String, files: [String])]
  ) throws(DataError) {
    let real = resolved(directory)
    guard !above.contains(real) else { return }
    var files: [String] = []
    for name in try children(directory) {
      let path = directory + "/" + name
      if isDirectory(path) {
        try walk(path, above: above.union([real]), into: &folders)
      } else if extensions.contains((name as NSString).pathExtension.lowercased()) {
        files.append(name)
      }
    }
    folders.append((directory, files))
  }

  private static func children(_ directory: String) throws(DataError) -> [String] {
    do {
      return try FileManager.default.contentsOfDirectory(atPath: directory)
        .filter { !$0.hasPrefix(".") }.sorted(by: isBefore)
    } catch {
      throw .missingFolder(directory)
    }
  }

  private static func isDirectory(_ path: String) -> Bool {
    var isDirectory: ObjCBool = false
    return FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) && isDirectory.boolValue
  }

  private static func resolved(_ path: String) -> String {
    URL(fileURLWithPath: path).resolvingSymlinksInPath().path
  }

  /// Python's order of strings, by code point; Swift's own order is by grapheme.
  private static func isBefore(_ a: String, _ b: String) -> Bool {
    a.unicodeScalars.lexicographicallyPrecedes(b.unicodeScalars)
  }
}
