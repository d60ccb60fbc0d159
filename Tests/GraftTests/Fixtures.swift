import Foundation
import GraftSystem

@testable import Graft

/// Files under Tests/Fixtures and the device that the model tests run on.
enum Fixtures {
  static let checkout = FilePath(#filePath).removingLastComponent().removingLastComponent()
    .removingLastComponent()
  static let folder = checkout / "Tests/Fixtures"

  static let context = Result { try Context(Device.select()) }

  private static let quirks = (try? Device.select().traits.quirks) ?? []
  /// False on llvmpipe, which has no fused multiply-add.
  static let trainsLargeModels = !quirks.contains(.slowPrivateVectors)
  static let timesKernels = !quirks.contains(.timesNoKernels)

  static func open(_ name: String) throws -> SafetensorsFile {
    try SafetensorsFile(path: folder / "\(name).safetensors")
  }

  /// The small timm ViT: width 64, 6 blocks, 4 heads, patch 8, 48 pixels.
  static let smallPath = folder / "vit/vit_w64_d6.safetensors"

  static func smallViT(
    imageSize: ImageSize? = nil, resampling: PositionResampling = .bicubicAntialias, on other: Context? = nil
  ) throws -> Backbone {
    try Backbone(
      path: smallPath, options: .init(imageSize: imageSize, heads: 4, positionResampling: resampling),
      on: other ?? context.get())
  }

  /// The DINOv2 ViT-S/14 that `tools/weights.py` fetches; tests that need it are skipped without it.
  static let dinov2Path = checkout / ".cache/graft/dinov2_small.safetensors"
  static var hasDINOv2: Bool { dinov2Path.exists }

  static func dinov2(imageSize: ImageSize) throws -> Backbone {
    try Backbone(path: dinov2Path, options: .init(imageSize: imageSize), on: context.get())
  }

  /// A plain ViT-B/16, of which no weight is loaded.
  static let plainShape = ViT(imageSize: 224, patchSize: 16, width: 768, depth: 12, heads: 12).listed

  /// The images that tools/fixtures/common.py makes by the same formula.
  static func formula(seed: UInt64, count: Int) -> [Float] {
    (0..<UInt64(count)).map { index in
      var generator = SplitMix64(seed: seed &+ index)
      return Float(generator.next() >> 40) / Float(1 << 24) * 4 - 2
    }
  }

  /// A fresh folder that is removed at the end of `body`.
  static func withFolder<Value>(_ body: (FilePath) async throws -> Value) async throws -> Value {
    let path = temporaryPath()
    try Folder.make(path)
    defer { try? FileManager.default.removeItem(atPath: path.string) }
    return try await body(path)
  }
}

extension ViT {
  /// The list of operations of settings that are known to be sound.
  var listed: BackboneShape {
    guard let shape = try? shape() else { preconditionFailure("\(self) contradicts itself") }
    return shape
  }
}

extension BackboneShape {
  /// The settings of a ViT.
  var vit: ViT {
    guard let vit = architecture as? ViT else { preconditionFailure("\(architecture.name) is no ViT") }
    return vit
  }

  /// All tensors' shapes by name.
  var shapesByName: [String: [Int]] { Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.shape) }) }
}

/// A path in the system's folder for such, where nothing is yet.
func temporaryPath() -> FilePath { FilePath(NSTemporaryDirectory()) / "graft-\(UUID().uuidString)" }

/// The text of a file.
func text(_ path: FilePath) throws -> String { String(decoding: try bytes(path), as: UTF8.self) }

/// The bytes of a file.
func bytes(_ path: FilePath) throws -> [UInt8] { try RegularFile.read(path, atMost: .max) }

/// Euclidean norm of a difference over the norm of what is expected.
func relativeError(_ actual: [Float], _ expected: [Float]) -> Double {
  precondition(actual.count == expected.count, "\(actual.count) values, \(expected.count) expected")
  let difference = zip(actual, expected).reduce(0.0) { $0 + pow(Double($1.0) - Double($1.1), 2) }
  let norm = expected.reduce(0.0) { $0 + pow(Double($1), 2) }
  return (difference / max(norm, 1e-300)).squareRoot()
}
