import Foundation
import GraftSystem
import Testing

@testable import Graft

@Suite("Checkpoint adapter folders")
struct CheckpointAdapterFolderTests {
  private static let hash = String(repeating: "0123456789abcdef", count: 4)

  private func manifest(adapter: String = "ila++") -> AdapterManifest {
    AdapterManifest(
      peftType: "ILA", adapter: adapter,
      settings: ["taps": 0.1, "scale": .number(2), "sites": [4, 7], "more": ["on": true, "none": .null]],
      backbone: .init(
        architecture: "vit_small_patch14_dinov2", contentHash: Self.hash, width: 384, depth: 12,
        imageSize: 224, patchSize: 14),
      classes: ["Lato-Thin", "Lato/é"],
      normalization: .init(mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]),
      transform: ["interpolation": "bicubic", "size": 224], graftVersion: "0.1.0")
  }

  private let tensors = [Safetensors.TensorData(name: "head.weight", shape: [2], values: [Float(1), 2])]

  @Test("A folder comes back as it was written, in PEFT's file names and snake case")
  func roundTrip() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("runs/best")
    try AdapterFolder.write(manifest(), tensors: tensors, to: path)
    let adapter = try AdapterFolder(path: path)
    #expect(adapter.manifest == manifest())
    #expect(adapter.manifest.settings["scale"]?.doubleValue == 2)
    #expect(adapter.manifest.settings["sites"]?.arrayValue?.map(\.intValue) == [4, 7])
    #expect(try adapter.weights.floats("head.weight") == [1, 2])
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: path.string).sorted()
        == ["adapter_config.json", "adapter_model.safetensors"])
    let data = try Data(contentsOf: URL(fileURLWithPath: (path / "adapter_config.json").string))
    let json = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    #expect(
      Set(json.keys) == [
        "peft_type", "adapter", "settings", "backbone", "classes", "normalization", "transform",
        "graft_version", "format_version",
      ])
    #expect(
      Set(try #require(json["backbone"] as? [String: Any]).keys) == [
        "architecture", "content_hash", "width", "depth", "image_size", "patch_size",
      ])
  }

  @Test("Another backbone is refused with both hashes, another width with both widths")
  func backbone() throws {
    let folder = try TemporaryFolder()
    try AdapterFolder.write(manifest(), tensors: tensors, to: folder.path)
    let adapter = try AdapterFolder(path: folder.path)
    try adapter.requireBackbone(hash: Self.hash, width: 384)
    let other = String(repeating: "f", count: 64)
    #expect(
      checkpointError { try adapter.requireBackbone(hash: other, width: 384) }
        == .wrongBackbone(path: folder.path, expectedHash: Self.hash, actualHash: other))
    #expect(
      checkpointError { try adapter.requireBackbone(hash: other, width: 768) }
        == .wrongWidth(path: folder.path, expected: 384, actual: 768))
  }

  @Test("A failed write over another adapter never pairs one's manifest with the other's weights")
  func replaced() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("adapter")
    try AdapterFolder.write(manifest(), tensors: tensors, to: path)
    // Weights cannot be replaced: a folder that is not empty is in their place.
    try FileManager.default.removeItem(atPath: (path / "adapter_model.safetensors").string)
    try AtomicFile.createFolder(path / "adapter_model.safetensors/x")
    #expect(throws: CheckpointError.self) {
      try AdapterFolder.write(manifest(adapter: "alore"), tensors: tensors, to: path)
    }
    #expect(
      checkpointError { _ = try AdapterFolder(path: path) }
        == .missingFile(path: path / "adapter_config.json"))
  }

  @Test("Missing files are named")
  func missing() throws {
    let folder = try TemporaryFolder()
    #expect(
      checkpointError { _ = try AdapterFolder(path: folder.path) }
        == .missingFile(path: folder.file("adapter_config.json")))
    try AdapterFolder.write(manifest(), tensors: tensors, to: folder.path)
    try FileManager.default.removeItem(atPath: folder.file("adapter_model.safetensors").string)
    #expect(
      checkpointError { _ = try AdapterFolder(path: folder.path) }
        == .missingFile(path: folder.file("adapter_model.safetensors")))
  }

  @Test(
    "Manifests that break a rule are refused with the field's name",
    arguments: [
      ("\"format_version\" : 1", "\"format_version\" : 3", "format_version 3"),
      ("\"format_version\" : 1", "\"format\" : 1", "format_version is missing"),
      ("\"peft_type\" : \"ILA\"", "\"peft_type\" : \"\"", "peft_type"),
      ("\"peft_type\" : \"ILA\"", "\"peft_type\" : 3", "peft_type"),
      ("\"width\" : 384", "\"width\" : 0", "backbone.width"),
      ("\"width\" : 384", "\"width\" : 1e30", "impossible"),
      ("\"width\" : 384", "\"w\" : 384", "backbone.width is missing"),
      ("\"depth\" : 12", "\"depth\" : 9999999", "backbone.depth"),
      ("\"image_size\" : 224", "\"image_size\" : -224", "backbone.image_size"),
      ("\"patch_size\" : 14", "\"patch_size\" : 225", "backbone.patch_size"),
      ("\"content_hash\" : \"0", "\"content_hash\" : \"X", "content_hash"),
      ("\"content_hash\" : \"0", "\"content_hash\" : \"", "content_hash"),
      ("\"Lato-Thin\"", "\"Lato/é\"", "named twice"),
      ("\"std\" : [", "\"std\" : [ 1,", "normalization"),
      ("\"settings\" : {", "\"settings\" : [{", "not JSON"),
      ("\"mean\" : [", "\"mean\" : [ null,", "normalization.mean"),
    ])
  func refused(original: String, replacement: String, says: String) throws {
    let folder = try TemporaryFolder()
    try AdapterFolder.write(manifest(), tensors: tensors, to: folder.path)
    let path = folder.file("adapter_config.json")
    let text = try text(path)
    #expect(text.contains(original))
    try AtomicFile.write(text.replacingOccurrences(of: original, with: replacement), to: path)
    let error = checkpointError { _ = try AdapterFolder(path: folder.path) }
    let description = try #require(error).description
    #expect(description.contains(says), "\(description)")
  }

  @Test("A manifest that could not be read back is not written")
  func unwritable() throws {
    let folder = try TemporaryFolder()
    var none = manifest()
    none.classes = []
    var infinite = manifest()
    infinite.settings["scale"] = .number(.infinity)
    var large = manifest()
    large.graftVersion = String(repeating: "x", count: 1 << 20)
    for manifest in [none, infinite, large] {
      guard
        case .malformedManifest = checkpointError({
          try AdapterFolder.write(manifest, tensors: tensors, to: folder.path)
        })
      else {
        Issue.record("written")
        continue
      }
    }
    #expect(try folder.contents.isEmpty)
  }

  @Test("A manifest of more than 1 MiB is not read")
  func large() throws {
    let folder = try TemporaryFolder()
    let path = try folder.file("adapter_config.json", [UInt8](repeating: 0x20, count: 1 << 20 + 1))
    guard case .unreadable(path, _) = checkpointError({ _ = try AdapterFolder(path: folder.path) }) else {
      Issue.record("read")
      return
    }
  }

  @Test(
    "JSON values come back equal",
    arguments: [
      JSONValue.null, true, false, 0, 1, -7, .integer(.max), 0.1, .number(1), .number(1e300), "", "1", [],
      [1, [true, .null]], [:], ["a": ["b": 2.5]],
    ])
  func json(value: JSONValue) throws {
    let data = try JSONEncoder().encode([value])
    #expect(try JSONDecoder().decode([JSONValue].self, from: data) == [value])
  }
}
