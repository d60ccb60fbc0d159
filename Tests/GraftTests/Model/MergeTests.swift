// swift-format-ignore-file: NeverForceUnwrap

import Foundation
import GraftOps
import GraftSystem
import Testing

@testable import Graft

/// Adapters folded into the backbone's weights.
@Suite(.serialized) struct MergeTests {
  static let mergeable = AdapterCatalog.all.filter { $0.isMergeable(on: Fixtures.plainShape) }.map(\.name)
  static let variants: [(String, [String: String])] =
    mergeable.filter { $0 != "linear" }.map { ($0, [:]) } + [
      ("alore", ["has_bias": "true"]), ("alore", ["shares_a": "true"]),
      ("alore", ["scale": "0.5"]), ("alore", ["experts": "2", "rank": "3"]),
      ("alore", ["has_bias": "true", "shares_a": "true", "scale": "2.5", "experts": "8", "rank": "1"]),
      ("repadapter", ["scale": "2.5", "groups": "4"]),
      ("repadapter", ["scale": "0.5", "bottleneck": "3", "groups": "1"]),
      ("lora", ["targets": "[\"q\", \"v\"]", "rank": "3", "alpha": "5"]),
      ("lora", ["targets": "[\"k\", \"proj\", \"fc1\", \"fc2\", \"patch_embed\"]"]),
      ("fact-tt", ["rank": "5", "scale": "3"]), ("fact-tk", ["rank": "4", "scale": "0.5"]),
    ]

  @Test(arguments: variants)
  func mergedEqualsUnmerged(_ name: String, _ settings: [String: String]) async throws {
    try await Fixtures.withFolder { folder in
      let path = folder / "merged.safetensors"
      let model = try GraftedModel.small(name, settings)
      try model.perturb(by: 0.05)
      let images = Fixtures.noise(4)
      let expected = try model.logits(images).flatMap { $0 }
      let head = try model["head.weight"].value.floats()
      let frozen = try GraftedModel.small("linear", on: model.backbone)
      try frozen["head.weight"].value.assign(head)
      try #require(relativeError(frozen.logits(images).flatMap { $0 }, expected) > 0.05, "it does something")

      try model.merge(to: path)
      let merged = try GraftedModel(merged: path, on: model.backbone.context)
      #expect(try relativeError(merged.logits(images).flatMap { $0 }, expected) < 1e-5)
      #expect(try model.relativeDifference(from: merged) < 1e-5)
      #expect(merged.classes == model.classes)
      #expect(merged.summary.gmac == frozen.summary.gmac, "it costs what the backbone costs")
      // Merging takes nothing away from the model.
      #expect(try model.logits(images).flatMap { $0 } == expected)
      try model.merge(to: folder / "again.safetensors")
      #expect(
        FileManager.default.contentsEqual(atPath: path.string, andPath: (folder / "again.safetensors").string)
      )
    }
  }

  @Test(.enabled(if: Fixtures.hasDINOv2, "run tools/weights.py first"), arguments: mergeable)
  func mergedUnderLayerScaleEqualsUnmerged(_ name: String) async throws {
    try await Fixtures.withFolder { folder in
      let vit = try Fixtures.dinov2(imageSize: 56)
      let model = try GraftedModel(vit, adapter: Fixtures.adapter(name), classes: GraftedModel.names)
      try model.perturb(by: 0.02)
      let images = Fixtures.noise(2, size: 56)
      let expected = try model.logits(images).flatMap { $0 }
      try model.merge(to: folder / "m.safetensors")
      let merged = try GraftedModel(merged: folder / "m.safetensors", on: vit.context)
      #expect(try relativeError(merged.logits(images).flatMap { $0 }, expected) < 1e-5)
    }
  }

  @Test(arguments: mergeable)
  func mergedFileHasTimmsNames(_ name: String) async throws {
    try await Fixtures.withFolder { folder in
      let model = try GraftedModel.small(name)
      try model.perturb()
      try model.merge(to: folder / "m.safetensors")
      let file = try SafetensorsFile(path: folder / "m.safetensors")
      var expected = model.backbone.shape.shapesByName
      expected["head.weight"] = [3, 64]
      expected["head.bias"] = [3]
      #expect(file.tensors.mapValues(\.shape) == expected)
      // What does not change keeps its bits.
      let original = try SafetensorsFile(path: Fixtures.smallPath)
      for tensor in original.names {
        let isChanged = Self.changes[name, default: { _ in false }](tensor)
        #expect(try (file.floats(tensor) != original.floats(tensor)) == isChanged, "\(tensor)")
      }
    }
  }

  /// Which of timm's tensors merging changes.
  static let changes: [String: @Sendable (String) -> Bool] = [
    "alore": { $0.hasSuffix("qkv.weight") || $0.hasSuffix("fc1.weight") },
    "repadapter": { $0.contains("attn.qkv.") || $0.contains("mlp.fc1.") },
    "bitfit": { $0.hasSuffix("bias") },
    "lora": { $0.hasSuffix("qkv.weight") },
    "ssf": { $0 != "cls_token" && $0 != "pos_embed" },
    "fact-tt": { $0.hasPrefix("blocks") && $0.hasSuffix("weight") && !$0.contains("norm") },
    "fact-tk": { $0.hasPrefix("blocks") && $0.hasSuffix("weight") && !$0.contains("norm") },
  ]

  @Test func linearProbeMergesToTheSameBits() async throws {
    try await Fixtures.withFolder { folder in
      let model = try GraftedModel.small("linear")
      try model.perturb()
      try model.merge(to: folder / "m.safetensors")
      let merged = try GraftedModel(merged: folder / "m.safetensors", on: model.backbone.context)
      #expect(try (merged.logits(Fixtures.noise(3)) == model.logits(Fixtures.noise(3))))
    }
  }

  /// A merged file is an ordinary backbone: a new adapter can be grafted onto it.
  @Test func mergedFileIsABackboneAgain() async throws {
    try await Fixtures.withFolder { folder in
      let model = try GraftedModel.small("alore")
      try model.perturb()
      try model.merge(to: folder / "m.safetensors")
      let vit = try Backbone(
        path: folder / "m.safetensors", options: .init(heads: 4), on: Fixtures.context.get())
      let second = try GraftedModel.small("ila", on: vit)
      #expect(try second.computeGradients(Fixtures.noise(2)).isFinite)
    }
  }

  @Test(arguments: ["ila", "ila+", "ila++"])
  func ilaRefuses(_ name: String) async throws {
    try await Fixtures.withFolder { folder in
      let model = try GraftedModel.small(name)
      let error = #expect(throws: GraftError.self) { try model.merge(to: folder / "m.safetensors") }
      guard case .notMergeable(name, let reason) = error else {
        Issue.record("\(String(describing: error))")
        return
      }
      #expect(reason.contains("not linear"))
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.string).isEmpty)
    }
  }

  @Test func damagedModelRefuses() async throws {
    try await Fixtures.withFolder { folder in
      let model = try GraftedModel.small("alore")
      let name = "blocks.2.alore_mlp.U"
      var values = try model[name].value.floats()
      values[5] = .nan
      try model[name].value.assign(values)
      #expect(throws: GraftError.notFinite(tensor: name)) { try model.merge(to: folder / "m.safetensors") }
      #expect(throws: GraftError.notFinite(tensor: name)) { try model.save(to: folder / "a") }
      #expect(!(folder / "m.safetensors").exists)
    }
  }

  @Test func backboneIsNotOverwritten() async throws {
    try await Fixtures.withFolder { folder in
      let copy = folder / "vit.safetensors"
      try FileManager.default.copyItem(atPath: Fixtures.smallPath.string, toPath: copy.string)
      try FileManager.default.createSymbolicLink(
        atPath: (folder / "link").string, withDestinationPath: copy.string)
      let vit = try Backbone(path: copy, options: .init(heads: 4), on: Fixtures.context.get())
      let model = try GraftedModel.small("alore", on: vit)
      for path in [copy, folder / "./vit.safetensors", folder / "link"] {
        #expect(throws: GraftError.self) { try model.merge(to: path) }
      }
      #expect(FileManager.default.contentsEqual(atPath: copy.string, andPath: Fixtures.smallPath.string))
    }
  }

  @Test func randomBackboneRefuses() async throws {
    try await Fixtures.withFolder { folder in
      let shape = ViT(imageSize: 16, patchSize: 8, width: 32, depth: 1, heads: 1)
      let vit = try Backbone(randomly: shape, on: Fixtures.context.get())
      let model = try GraftedModel(vit, adapter: LinearProbe(), classes: ["a", "b"])
      #expect(throws: GraftError.self) { try model.merge(to: folder / "m.safetensors") }
    }
  }

  /// PyTorch trained the same model for 20 steps and merged it.
  @Test(arguments: ["alore", "repadapter"])
  func mergedValuesEqualPyTorch(_ method: String) async throws {
    try await Fixtures.withFolder { folder in
      let golden = try Fixtures.open("adapters/\(method)")
      let vit = try Fixtures.smallViT()
      let patches = try (0..<2).map { try vit.input(normalized: golden.tensor("images.\($0)")) }
      let model = try Golden.model(vit, method, golden)
      _ = try Golden.train(model, patches, golden)
      try model.merge(to: folder / "m.safetensors")
      let file = try SafetensorsFile(path: folder / "m.safetensors")
      let before = try SafetensorsFile(path: Fixtures.smallPath)
      for name in ["blocks.0.attn.qkv.weight", "blocks.0.mlp.fc1.weight"] {
        // What matters is the change that merging makes; training differs by rounding.
        let frozen = try before.floats(name)
        let change = try zip(file.floats(name), frozen).map { $0 - $1 }
        let expected = try zip(golden.floats("merged.\(name)"), frozen).map { $0 - $1 }
        #expect(relativeError(change, expected) < 1e-3, "\(name)")
      }
      let merged = try GraftedModel(merged: folder / "m.safetensors", on: vit.context)
      let logits = try patches.flatMap { try merged.logits(of: $0, on: Tape()).floats() }
      #expect(try relativeError(logits, golden.floats("merged.logits")) < 1e-3)
    }
  }

  /// A merged file's description is from outside, as everything in a file.
  @Test func hostileDescriptionIsRefused() async throws {
    try await Fixtures.withFolder { folder in
      let model = try GraftedModel.small("linear")
      try model.merge(to: folder / "m.safetensors")
      let file = try SafetensorsFile(path: folder / "m.safetensors")
      let description = file.metadata[GraftedModel.mergedKey]!
      for (old, new) in [
        ("\"std\":[0.5,0.5,0.5]", "\"std\":[0.5,0.5]"), ("\"std\":[0.5,0.5,0.5]", "\"std\":[0.5,0,0.5]"),
        ("\"image_size\":48", "\"image_size\":-48"), ("\"green\"", "\"red\""),
      ] {
        try #require(description.contains(old), "\(description)")
        let path = folder / "hostile.safetensors"
        try Safetensors.write(
          file.names.map { try .init(copying: $0, from: file) },
          metadata: [GraftedModel.mergedKey: description.replacingOccurrences(of: old, with: new)], to: path)
        #expect(throws: CheckpointError.self) {
          try GraftedModel(merged: path, on: Fixtures.context.get())
        }
      }
    }
  }
}
