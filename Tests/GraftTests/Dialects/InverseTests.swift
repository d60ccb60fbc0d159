// swift-format-ignore-file: NeverForceUnwrap

import Foundation
import GraftSystem
import Testing

@testable import Graft

@Suite struct InverseTests {
  private func written(_ tensors: [Safetensors.TensorData], in folder: TemporaryFolder) throws
    -> SafetensorsFile
  {
    try Safetensors.write(tensors, to: folder.file("out.safetensors"))
    return try SafetensorsFile(path: folder.file("out.safetensors"))
  }

  private static let google = DialectFixtures.names.filter { $0.hasPrefix("google") }

  @Test(arguments: DialectFixtures.names)
  func nothingChanges(_ name: String) throws {
    let folder = try TemporaryFolder()
    let weights = try CanonicalWeights(DialectFixtures.file(name))
    let file = try written(weights.inverse([:]), in: folder)
    guard !Self.google.contains(name) else {
      // An npz file comes back under canonical names.
      let timm = try CanonicalWeights(DialectFixtures.timm(name))
      #expect(Set(file.names).subtracting(["head.weight", "head.bias"]) == Set(timm.index.names))
      for tensor in timm.index.names {
        #expect(try file.floats(tensor) == timm.floats(tensor), "\(tensor)")
      }
      return
    }
    #expect(file.tensors == weights.file.tensors)
    for tensor in file.names {
      #expect(try rawBytes(tensor, of: file) == rawBytes(tensor, of: weights.file), "\(tensor)")
    }
  }

  /// In timm's names a file of anybody's is timm's own of the same weights.
  @Test(arguments: DialectFixtures.names)
  func timmsNames(_ name: String) throws {
    let folder = try TemporaryFolder()
    let weights = try CanonicalWeights(DialectFixtures.file(name))
    let file = try written(weights.inverse([:], names: .timm), in: folder)
    let timm = try DialectFixtures.timm(name)
    // Where a mask hides all biases of DINOv3's, timm has a model without.
    let hidden = name == "dinov3_masked_original" ? file.names.filter { $0.hasSuffix("_bias") } : []
    let body = Set(file.names).subtracting(hidden).filter { !$0.hasPrefix("head") }
    // A table for all blocks is one for each in timm's fine-tuned models.
    let shared = "rel_pos_bias.relative_position_bias_table"
    guard timm.tensors[shared] == nil else {
      let tables = body.filter { $0.hasSuffix("attn.relative_position_bias_table") }
      #expect(try tables.count == 2 && tables.allSatisfy { try file.floats($0) == timm.floats(shared) })
      return
    }
    #expect(body == Set(timm.names).filter { !$0.hasPrefix("head") })
    for tensor in body {
      #expect(try file.tensors[tensor] == timm.info(tensor), "\(tensor)")
      #expect(try file.floats(tensor) == timm.floats(tensor), "\(tensor)")
    }
    #expect(try CanonicalWeights(file).index.shapes == weights.index.shapes)
  }

  /// What has timm's names already comes back bit for bit.
  @Test(arguments: DialectFixtures.backbones)
  func timmsNamesOfTimms(_ name: String) throws {
    let folder = try TemporaryFolder()
    let source = try DialectFixtures.backbone(name)
    let file = try written(CanonicalWeights(source).inverse([:], names: .timm), in: folder)
    #expect(file.contentHash == source.contentHash)
  }

  @Test func whatTimmHasNoPlaceForIsRefused() throws {
    let weights = try CanonicalWeights(DialectFixtures.file("dinov3_original"))
    let bias = "blocks.1.attn.qkv.bias"
    var values = try weights.floats(bias)
    values[20] = 1
    let error = checkpointError { _ = try weights.inverse([bias: values], names: .timm) }
    #expect(error?.description.contains("timm's EVA keeps no bias for the keys") == true)
    let clip = try CanonicalWeights(DialectFixtures.file("open_clip"))
    let patches = [Float](repeating: 1, count: 16)
    let missing = checkpointError { _ = try clip.inverse(["patch_embed.proj.bias": patches], names: .timm) }
    #expect(missing?.description.contains("no tensor for it") == true)
  }

  /// transformers has a class for a backbone with a classifier, and gives it names of its own.
  @Test(arguments: [
    ("hf_vit", "hf_vit_classifier"), ("hf_vit_v5", "hf_vit_classifier_v5"),
    ("hf_vit_mae", "hf_vit_classifier"),
  ])
  func backbonesBecomeClassifiers(_ fixture: String, _ like: String) throws {
    let folder = try TemporaryFolder()
    let weights = try CanonicalWeights(DialectFixtures.file(fixture))
    let head: [String: [Float]] = ["head.weight": [Float](repeating: 1, count: 48), "head.bias": [1, 2, 3]]
    let file = try written(weights.inverse(head), in: folder)
    let expected = try DialectFixtures.file(like)
    #expect(file.tensors.mapValues(\.shape) == expected.tensors.mapValues(\.shape))
    let again = try CanonicalWeights(file)
    #expect(again.dialect.name == weights.dialect.name && again.prefix == "vit." && again.unknown.isEmpty)
    for tensor in weights.index.names { #expect(try again.floats(tensor) == weights.floats(tensor)) }
    // Once it is one, it stays.
    #expect(try written(again.inverse(head), in: TemporaryFolder()).names == file.names)
  }

  @Test func aDistilledClassifierBecomesAPlainOne() throws {
    let folder = try TemporaryFolder()
    let weights = try CanonicalWeights(DialectFixtures.file("hf_deit_distilled"))
    let head: [String: [Float]] = ["head.weight": [Float](repeating: 1, count: 48), "head.bias": [1, 2, 3]]
    let names = try written(weights.inverse(head), in: folder).names
    #expect(names.filter { $0.contains("classifier") } == ["classifier.bias", "classifier.weight"])
    #expect(names.allSatisfy { $0.hasPrefix("deit.") || $0.hasPrefix("classifier.") })
  }

  /// Changes whose every bit comes back, but for a class token that holds its position: it is one rounding off.
  @Test(arguments: DialectFixtures.names)
  func changesComeBack(_ name: String) throws {
    let folder = try TemporaryFolder()
    let weights = try CanonicalWeights(DialectFixtures.file(name))
    var changed: [String: [Float]] = [:]
    for tensor in weights.index.names where !tensor.contains("relative_position_bias_table") {
      // Zeros stay zeros: keys' biases have no place.
      changed[tensor] = try weights.floats(tensor).map { $0 == 0 ? 0 : $0 * 1.5 + 0.25 }
    }
    for tensor in weights.index.names where tensor.contains("relative_position_bias_table") {
      changed[tensor] = try weights.floats(tensor).map { $0 * 2 }
    }
    let again = try CanonicalWeights(written(weights.inverse(changed), in: folder))
    #expect(again.index.shapes == weights.index.shapes)
    if !Self.google.contains(name) {
      #expect(again.dialect.name == weights.dialect.name && again.prefix == weights.prefix)
    }
    let folds = [
      "original-dinov2-registers", "huggingface-dinov2-registers", "huggingface-dinov2-registers-5",
    ]
    for (tensor, expected) in changed {
      let values = try again.floats(tensor)
      if tensor == "cls_token", folds.contains(weights.dialect.name) {
        #expect(zip(values, expected).allSatisfy { abs($0 - $1) <= max(abs($1), 1).ulp }, "\(tensor)")
      } else {
        #expect(values == expected, "\(tensor)")
      }
    }
  }

  @Test func oneChangeLeavesTheRest() throws {
    let folder = try TemporaryFolder()
    let weights = try CanonicalWeights(DialectFixtures.file("hf_siglip"))
    let name = "attn_pool.kv.weight"
    let values = try weights.floats(name).map { $0 + 1 }
    let file = try written(weights.inverse([name: values]), in: folder)
    let source = "vision_model.head.attention.in_proj_weight"
    for tensor in file.names where tensor != source {
      #expect(try rawBytes(tensor, of: file) == rawBytes(tensor, of: weights.file))
    }
    let (old, new) = (try weights.file.floats(source), try file.floats(source))
    #expect(Array(new[..<256]) == Array(old[..<256]) && Array(new[256...]) == values)
  }

  @Test func whatHasNoPlaceIsRefused() throws {
    func error(_ fixture: String, _ name: String, _ change: (inout [Float]) -> Void) throws -> String {
      let weights = try CanonicalWeights(DialectFixtures.file(fixture))
      var values = weights.index[name] == nil ? [Float](repeating: 0, count: 16) : try weights.floats(name)
      change(&values)
      guard case .noPlace = checkpointError({ _ = try weights.inverse([name: values]) }) else { return "" }
      return checkpointError { _ = try weights.inverse([name: values]) }!.description
    }
    let bias = "blocks.0.attn.qkv.bias"
    #expect(try error("hf_beit", bias) { $0[20] = 1 }.contains("no bias for the keys"))
    #expect(try error("hf_beit", bias) { $0[0] = 1 } == "")
    #expect(try error("dinov3_original", bias) { $0[20] = 1 }.contains("masks it"))
    #expect(try error("open_clip", "patch_embed.proj.bias") { $0[0] = 1 }.contains("no tensor for it"))
    #expect(try error("open_clip", "patch_embed.proj.bias") { _ in } == "")
    let table = "blocks.1.attn.relative_position_bias_table"
    #expect(try error("beit_pretraining", table) { $0[0] = 1 }.contains("one for all blocks"))
  }

  @Test(arguments: [
    ("hf_vit_classifier", "classifier"), ("hf_deit_distilled", "classifier"),
    ("moco_linear", "module.head"),
    ("open_clip", "head"), ("open_clip_timm", "visual.trunk.head"), ("google_vit", "head"),
    ("hf_dinov3", "classifier"),
    ("deit_distilled_original", "head"),
  ])
  func headsAreReplaced(_ fixture: String, _ name: String) throws {
    let folder = try TemporaryFolder()
    let weights = try CanonicalWeights(DialectFixtures.file(fixture))
    let head = (0..<5 * 16).map(Float.init)
    let file = try written(
      weights.inverse(["head.weight": head, "head.bias": [1, 2, 3, 4, 5]]), in: folder)
    #expect(file.tensors["\(name).weight"]?.shape == [5, 16] && file.tensors["\(name).bias"]?.shape == [5])
    let again = try CanonicalWeights(file)
    #expect(again.head?.weight == "\(name).weight" && again.assemblies["head_dist.weight"] == nil)
    #expect(try again.floats("head.weight") == head)
  }
}
