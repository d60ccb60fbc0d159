import Foundation
import Graft
import GraftSystem
import Testing

@testable import GraftData

/// The files that tools/fixtures/images.py wrote, and what Pillow made of them.
enum Fixtures {
  struct Cases: Decodable {
    struct Source: Decodable {
      let file: String
      let width: Int
      let height: Int
    }
    struct Resize: Decodable, CustomTestStringConvertible {
      let file: String
      let filter: String
      let width: Int
      let height: Int
      var testDescription: String { file }
    }
    struct Decode: Decodable, CustomTestStringConvertible {
      let file: String
      let width: Int
      let height: Int
      var testDescription: String { file }
    }
    struct Crop: Decodable, CustomTestStringConvertible {
      let file: String
      let name: String
      let size: ImageSize
      var testDescription: String { "\(name) \(size)" }
    }
    /// The version of Pillow that made them.
    let pillow: String
    let source: Source
    let resize: [Resize]
    let decode: [Decode]
    let crop: [Crop]
  }

  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Fixtures/images")

  static let cases: Cases = {
    do {
      return try JSONDecoder().decode(Cases.self, from: Data(bytes("cases.json")))
    } catch {
      fatalError("Tests/Fixtures/images/cases.json: \(error)")
    }
  }()

  static var webp: [Cases.Decode] { cases.decode.filter { $0.file.hasSuffix(".webp") } }

  static func path(_ name: String) -> FilePath { FilePath(folder.path) / name }

  static func bytes(_ name: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: folder.appendingPathComponent(name)))
  }

  static func source() throws -> RGBImage {
    try RGBImage(
      width: cases.source.width, height: cases.source.height, pixels: bytes(cases.source.file))
  }
}

/// A folder of the test's own, removed with it.
final class TemporaryFolder {
  let path: FilePath

  init() throws {
    path = FilePath(NSTemporaryDirectory()) / ("graft-data-" + UUID().uuidString)
    try Folder.make(path)
  }

  deinit {
    try? FileManager.default.removeItem(atPath: path.string)
  }

  func write(_ bytes: [UInt8], to name: String) throws {
    let url = URL(fileURLWithPath: (path / name).string)
    try FileManager.default.createDirectory(
      at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(bytes).write(to: url)
  }

  func makeFolder(_ name: String) throws {
    try Folder.make(path / name)
  }
}

/// All batches of a pass.
func collect(_ stream: AsyncThrowingStream<ImageBatch, any Error>) async throws -> [ImageBatch] {
  var batches: [ImageBatch] = []
  for try await batch in stream { batches.append(batch) }
  return batches
}
