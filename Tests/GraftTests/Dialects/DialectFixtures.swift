import Foundation
import GraftSystem

@testable import Graft

/// The tiny files of Tests/Fixtures/dialects and Tests/Fixtures/backbones.
enum DialectFixtures {
  static let folder = Fixtures.folder / "dialects"

  static let names: [String] = {
    let found = try? FileManager.default.contentsOfDirectory(atPath: folder.string)
    return (found ?? []).filter { !$0.hasPrefix(".") }.sorted()
  }()

  static let backbones: [String] = {
    let found = try? FileManager.default.contentsOfDirectory(atPath: (Fixtures.folder / "backbones").string)
    return (found ?? []).filter { $0.hasSuffix(".safetensors") && !$0.contains(".expected.") }.sorted()
  }()

  /// The file as its authors write it.
  static func file(_ name: String) throws -> any TensorFile {
    let found = try FileManager.default.contentsOfDirectory(atPath: (folder / name).string)
    guard let file = found.first(where: { $0.hasPrefix("model.") || $0 == "open_clip_model.safetensors" })
    else {
      throw CheckpointError.missingFile(path: folder / name)
    }
    return try TensorFiles.open(folder / name / file)
  }

  /// The same weights under timm's names.
  static func timm(_ name: String) throws -> any TensorFile {
    try TensorFiles.open(folder / name / "timm.safetensors")
  }

  static func backbone(_ name: String) throws -> any TensorFile {
    try TensorFiles.open(Fixtures.folder / "backbones" / name)
  }
}

/// The bytes of a tensor in a file.
func rawBytes(_ name: String, of file: any TensorFile) throws -> [UInt8] {
  try file.withRawBytes(name) { Array($0) }
}
