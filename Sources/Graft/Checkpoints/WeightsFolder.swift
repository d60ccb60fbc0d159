import GraftSystem

/// A folder that was given where a file of weights is wanted.
enum WeightsFolder {
  /// What to say about it where only a safetensors file will do; `nil` where the path is none of a folder.
  static func advice(_ path: FilePath) -> String? {
    guard path.isFolder, let names = try? Folder.names(in: path) else { return nil }
    if isAdapter(names) { return adapterAdvice }
    let files = sorted(names.filter { $0.extension == "safetensors" })
    return switch files.count {
    case 0: "it is a folder, and no safetensors file is in it. Give a file"
    case 1: "it is a folder. Give the file in it: \(printable(path / files[0]))"
    default: "it is a folder. Give one of the files in it: \(listed(files.map { printable($0) }))"
    }
  }

  /// The file of weights in a folder: one of the names that libraries give it, or the only one there is.
  ///
  /// - Throws: ``CheckpointError/unreadable(path:reason:)``: an adapter's folder, no such file, or several.
  static func file(in folder: FilePath) throws(CheckpointError) -> FilePath {
    let names: [FilePath.Component]
    do { names = try Folder.names(in: folder) } catch {
      throw .unreadable(path: folder, reason: error.description)
    }
    if isAdapter(names) { throw .unreadable(path: folder, reason: adapterAdvice) }
    if let known = usual.first(where: { name in names.contains { $0.text == name } }) {
      return folder / known
    }
    let files = sorted(names.filter { $0.extension.map(endings.contains) == true && !$0.isHidden })
    switch files.count {
    case 0:
      throw .unreadable(path: folder, reason: "it is a folder, and no file of weights is in it. Give a file")
    case 1: return folder / files[0]
    default:
      let list = listed(files.map { printable($0) })
      throw .unreadable(path: folder, reason: "it is a folder. Give one of the files in it: \(list)")
    }
  }

  /// The names that libraries give to a model's weights, the first choice first.
  private static let usual = [
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
  ]
  private static let endings: Set = ["safetensors", "npz", "pth", "pt", "bin", "tar"]
  private static let adapterAdvice = "it is the folder of a trained adapter. Give the backbone's own file"

  private static func isAdapter(_ names: [FilePath.Component]) -> Bool {
    names.contains { $0.text == AdapterFolder.manifestName }
  }

  private static func sorted(_ names: [FilePath.Component]) -> [FilePath.Component] {
    names.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }
  }
}
