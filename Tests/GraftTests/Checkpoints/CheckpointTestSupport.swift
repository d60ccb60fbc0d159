import Foundation
import GraftSystem

@testable import Graft

/// A folder of its own for each test that writes; removed with the value.
final class TemporaryFolder {
  let path: FilePath

  init() throws {
    path = temporaryPath()
    try Folder.make(path)
  }

  deinit { try? FileManager.default.removeItem(atPath: path.string) }

  /// The path of a file in the folder.
  func file(_ name: String) -> FilePath { path / name }

  /// Writes bytes as they are, around the code under test.
  func file(_ name: String, _ bytes: [UInt8]) throws -> FilePath {
    try Data(bytes).write(to: URL(fileURLWithPath: file(name).string))
    return file(name)
  }

  /// What lies in the folder, hidden files included.
  var contents: [String] {
    get throws { try FileManager.default.contentsOfDirectory(atPath: path.string).sorted() }
  }
}

/// Safetensors bytes from a header's text.
func safetensorsBytes(_ header: String, data: Int) -> [UInt8] {
  safetensorsBytes(Array(header.utf8), data: [UInt8](repeating: 0, count: data))
}

/// Safetensors bytes from a header and the tensors' bytes.
func safetensorsBytes(_ header: [UInt8], data: [UInt8]) -> [UInt8] {
  withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) } + header + data
}

/// The error that `body` throws, where it is a checkpoint error.
func checkpointError(_ body: () throws -> Void) -> CheckpointError? {
  do {
    try body()
    return nil
  } catch {
    return error as? CheckpointError
  }
}
