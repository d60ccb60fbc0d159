#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A folder that was given where a file of weights is wanted.
enum WeightsFolder {
  /// What to say about it; `nil` where the path is none of a folder.
  static func advice(_ path: String) -> String? {
    guard let folder = opendir(path) else { return nil }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      names.append(name)
    }
    if names.contains(AdapterFolder.manifestName) {
      return "it is the folder of a trained adapter. Give the backbone's own file"
    }
    let files = names.filter { $0.hasSuffix(".safetensors") }.sorted(by: Safetensors.precedes)
    return switch files.count {
    case 0: "it is a folder, and no safetensors file is in it. Give a file"
    case 1: "it is a folder. Give the file in it: \(printable("\(path)/\(files[0])"))"
    default: "it is a folder. Give one of the files in it: \(listed(files.map(printable)))"
    }
  }
}
