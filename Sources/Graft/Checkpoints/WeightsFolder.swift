import GraftSystem

/// A folder that was given where a file of weights is wanted.
enum WeightsFolder {
  /// What to say about it; `nil` where the path is none of a folder.
  static func advice(_ path: FilePath) -> String? {
    guard path.isFolder, let names = try? Folder.names(in: path) else { return nil }
    if names.contains(where: { $0.text == AdapterFolder.manifestName }) {
      return "it is the folder of a trained adapter. Give the backbone's own file"
    }
    let files = names.filter { $0.extension == "safetensors" }.sorted {
      $0.bytes.lexicographicallyPrecedes($1.bytes)
    }
    return switch files.count {
    case 0: "it is a folder, and no safetensors file is in it. Give a file"
    case 1: "it is a folder. Give the file in it: \(printable(path / files[0]))"
    default: "it is a folder. Give one of the files in it: \(listed(files.map { printable($0) }))"
    }
  }
}
