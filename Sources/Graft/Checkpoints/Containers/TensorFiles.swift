import GraftSystem
public import SystemPackage

/// Opens files of tensors of any format that Graft reads.
public enum TensorFiles {
  /// Opens a file, told by its bytes whatever its name, or the file of weights in a folder.
  ///
  /// Read are safetensors files, several of them behind an index (`model.safetensors.index.json`, or any of the shards that
  /// it lists), NumPy's `.npz`, and PyTorch's `.pth`, `.pt` and `.bin` that hold a state dict, of which nothing is executed.
  ///
  /// In a folder it is `model.safetensors`, `model.safetensors.index.json`, `pytorch_model.bin`,
  /// `pytorch_model.bin.index.json`, or else the only file whose name ends as those of weights do.
  ///
  /// - Throws: ``CheckpointError``: missing or unreadable, another format, truncated, or wrong in itself.
  public static func open(_ path: FilePath) throws(CheckpointError) -> any TensorFile {
    let path = path.isFolder ? try WeightsFolder.file(in: path) : path
    if let index = try ShardedFile.index(of: path) { return try ShardedFile(index: index) }
    let file = try MappedFile(path)
    if container(of: file) == .index { return try ShardedFile(index: path) }
    return try openAlone(file, path)
  }

  /// Opens a file that holds its tensors itself.
  static func openAlone(_ path: FilePath) throws(CheckpointError) -> any TensorFile {
    try openAlone(MappedFile(path), path)
  }

  private static func openAlone(_ file: MappedFile, _ path: FilePath) throws(CheckpointError)
    -> any TensorFile
  {
    switch container(of: file) {
    case .legacyTorch: return try TorchFile(file, path: path)
    case .zip:
      let archive = try file.withBytes { (bytes) throws(CheckpointError) in try ZipArchive(bytes, path: path)
      }
      if TorchFile.mayBe(archive) { return try TorchFile(file, path: path) }
      if NPZFile.mayBe(archive) { return try NPZFile(file, path: path) }
    case .index, nil: break
    }
    // What is nothing else, and says what it is.
    return try SafetensorsFile(file, path: path)
  }

  private static func container(of file: MappedFile) -> FileSignature.Container? {
    file.withBytes { FileSignature(of: $0)?.container }
  }
}
