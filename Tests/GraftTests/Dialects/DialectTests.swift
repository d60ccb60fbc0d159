// swift-format-ignore-file: NeverForceUnwrap

import Foundation
import GraftSystem
import Testing

@testable import Graft

@Suite struct DialectTests {
  @Test func fixturesAreThere() {
    #expect(DialectFixtures.names.count >= 56 && DialectFixtures.backbones.count >= 24)
    #expect(Set(Dialect.all.map(\.name)).count == Dialect.all.count)
  }

  @Test(arguments: DialectFixtures.names)
  func oneDialectMatches(_ name: String) throws {
    let file = try DialectFixtures.file(name)
    let found = Dialect.all.filter { $0.prefix(in: file.tensors) != nil }.map(\.name)
    #expect(found.count == 1, "\(found)")
    let weights = try CanonicalWeights(file)
    #expect(weights.unknown.isEmpty, "\(weights.unknown)")
    let timm = try DialectFixtures.timm(name)
    #expect(Dialect.all.filter { $0.prefix(in: timm.tensors) != nil }.count == 1)
  }

  @Test(arguments: DialectFixtures.backbones)
  func oneDialectMatchesBackbones(_ name: String) throws {
    let file = try DialectFixtures.backbone(name)
    #expect(Dialect.all.filter { $0.prefix(in: file.tensors) != nil }.count == 1)
    let weights = try CanonicalWeights(file)
    #expect(weights.unknown.isEmpty && weights.index.depth == 2 && weights.dialect.name.hasPrefix("timm"))
  }

  /// What the names of the folders say of the dialects.
  @Test(arguments: [
    ("beit_pretraining", "original-beit", ""), ("deit3_original", "original-deit3", ""),
    ("deit_distilled_original", "timm", ""), ("dino_training", "timm", "backbone."),
    ("dinov2_giant_original", "original-dinov2-giant", ""), ("dinov2_original", "original-dinov2", ""),
    ("dinov2_registers_original", "original-dinov2-registers", ""),
    ("dinov3_original", "original-dinov3", ""),
    ("eva02_clip_original", "original-eva02", "visual."), ("eva02_packed_original", "original-eva02", ""),
    ("google_vit", "google-vit", ""), ("google_gap", "google-vit", ""),
    ("google_big_vision", "google-big-vision-stacked", "params/"),
    ("google_big_vision_img", "google-big-vision", "params/img/"), ("hf_beit", "huggingface-beit", "beit."),
    ("hf_beit_v5", "huggingface-beit-5", "beit."), ("hf_clip", "huggingface-clip", "vision_model."),
    ("hf_clip_vision_v5", "huggingface-clip", ""), ("hf_siglip", "huggingface-siglip", "vision_model."),
    ("hf_deit_distilled", "huggingface-vit", "deit."), ("hf_dinov2", "huggingface-dinov2", ""),
    ("hf_dinov2_registers_v5", "huggingface-dinov2-registers-5", ""), ("hf_dinov3", "huggingface-dinov3", ""),
    ("hf_dinov3_gated_v5", "huggingface-dinov3-gated-5", ""),
    ("hf_vit_mae_pretraining", "huggingface-vit", "vit."),
    ("moco_pretraining", "moco-v3", "module.base_encoder."), ("mae_checkpoint", "mae", ""),
    ("moco_linear", "timm", "module."),
    ("open_clip", "openai-clip", "visual."), ("open_clip_timm", "timm", "visual.trunk."),
  ])
  func dialectsAndPrefixes(_ name: String, _ dialect: String, _ prefix: String) throws {
    let weights = try CanonicalWeights(DialectFixtures.file(name))
    #expect(weights.dialect.name == dialect && weights.prefix == prefix)
  }

  /// Every tensor that timm has is there with the same bits.
  ///
  /// Sums are those of timm's converter, which adds in F32 too, and so compare exactly. Zeros that timm does not store are
  /// zeros here: DINOv3's biases under a mask.
  @Test(arguments: DialectFixtures.names)
  func valuesAreTimms(_ name: String) throws {
    let weights = try CanonicalWeights(DialectFixtures.file(name))
    let timm = try CanonicalWeights(DialectFixtures.timm(name))
    // One table for all blocks is read as one for each.
    #expect(timm.index.shapes.keys.allSatisfy { weights.index[$0] != nil })
    for (tensor, shape) in weights.index.shapes {
      let values = try weights.floats(tensor)
      guard timm.index[tensor] != nil else {
        #expect(name == "dinov3_masked_original" && tensor.hasSuffix("attn.qkv.bias"), "\(tensor)")
        #expect(values.allSatisfy { $0 == 0 })
        continue
      }
      #expect(timm.index[tensor] == shape, "\(tensor)")
      let expected = try timm.floats(tensor)
      #expect(
        values.count == expected.count && zip(values, expected).allSatisfy { $0.bitPattern == $1.bitPattern },
        "\(tensor)")
    }
  }

  @Test func thirdsThatAreNotStored() throws {
    let weights = try CanonicalWeights(DialectFixtures.file("hf_dinov3"))
    let bias = "blocks.1.attn.qkv.bias"
    #expect(weights.index.partial == ["blocks.0.attn.qkv.bias", bias] && weights.index[bias] == [48])
    let values = try weights.floats(bias)
    #expect(values[16..<32].allSatisfy { $0 == 0 } && values[..<16].contains { $0 != 0 })
    #expect(try CanonicalWeights(DialectFixtures.file("hf_dinov3_no_bias")).index[bias] == nil)
    #expect(
      weights.nameInFile(bias) == ["layer.1.attention.q_proj.bias", "layer.1.attention.v_proj.bias"])
    #expect(weights.nameInFile("blocks.7.norm1.weight") == ["layer.7.norm1.weight"])
    #expect(weights.nameInFile("nothing.weight").isEmpty)
  }

  @Test func classifiers() throws {
    func head(_ name: String) throws -> CanonicalWeights.Head? {
      try CanonicalWeights(DialectFixtures.file(name)).head
    }
    #expect(try head("hf_vit_classifier") == .init(weight: "classifier.weight", bias: "classifier.bias"))
    #expect(
      try head("hf_deit_distilled") == .init(weight: "cls_classifier.weight", bias: "cls_classifier.bias"))
    #expect(try head("moco_linear") == .init(weight: "module.head.weight", bias: "module.head.bias"))
    #expect(try head("google_vit") == .init(weight: "head/kernel", bias: "head/bias"))
    for name in ["moco_pretraining", "open_clip", "hf_clip", "dino_training", "hf_siglip_vision"] {
      #expect(try head(name) == nil, "\(name)")
    }
    let google = try CanonicalWeights(DialectFixtures.file("google_vit"))
    #expect(google.heads == 2 && google.index["head.weight"] == nil)
    #expect(try CanonicalWeights(DialectFixtures.file("google_big_vision")).heads == 2)
    let kernel = try google.file.floats("head/kernel")
    let weight = try google.floats("head.weight")
    #expect(weight.count == 48 && weight[1] == kernel[3] && weight[16] == kernel[1])
  }

  @Test(
    arguments: [
      ("blocks.3.attn.qkv", "blocks.3.attn.qkv", nil),
      ("vit.encoder.layer.11.attention.attention.key", "blocks.11.attn.qkv", 1),
      ("layers.0.attention.v_proj", "blocks.0.attn.qkv", 2),
      ("model.layer.2.attention.o_proj", "blocks.2.attn.proj", nil),
      ("vision_model.encoder.layers.0.self_attn.q_proj", "blocks.0.attn.qkv", 0),
      ("vit.embeddings.patch_embeddings.projection", "patch_embed.proj", nil),
      ("visual.transformer.resblocks.1.mlp.c_fc", "blocks.1.mlp.fc1", nil),
      ("blocks.1.attn.k_proj", "blocks.1.attn.qkv", 1), ("blocks.1.mlp.fc1_x", "blocks.1.mlp.fc1", 1),
      ("text_model.encoder.layers.0.self_attn.q_proj", nil, nil), ("blocks.x.attn.qkv", nil, nil),
      ("", nil, nil),
      ("blocks.0.attn.gate", nil, nil), ("blocks.99999999999999999999.attn.qkv", nil, nil),
    ] as [(String, String?, Int?)])
  func modules(_ module: String, _ name: String?, _ part: Int?) {
    let operation = Dialect.operation(ofModule: module)
    #expect(operation?.name == name && operation?.part?.first == part)
  }

  @Test(
    arguments: [
      ("blocks.{i}.attn.{p}", "blocks.12.attn.bias", 12, "bias"), ("a.{i}", "a.0", 0, nil),
      ("a.{i}", "a.00", nil, nil),
      ("a.{i}", "a.", nil, nil), ("a.{i}", "a.1x", nil, nil), ("a.{i}", "a.1234567", nil, nil),
      ("a.{p}", "a.weights", nil, nil),
      ("a.{p}", "a.bias_mask", nil, nil),
    ] as [(NamePattern, String, Int?, String?)])
  func patterns(_ pattern: NamePattern, _ name: String, _ number: Int?, _ part: String?) {
    let match = pattern.match(name)
    #expect(match?.number == number && match?.part == part)
    if let match { #expect(pattern.name(match) == name) }
  }

  @Test func openPatterns() {
    #expect(NamePattern("*.a.*").matches("x.a.y") && !NamePattern("*.a.*").matches("a.y"))
    #expect(
      NamePattern("a*").matches("a") && NamePattern("*a").matches("ba") && !NamePattern("*a").matches("ab"))
    #expect(NamePattern("b.{i}.*").match("b.4.c")?.number == 4 && NamePattern("*").matches(""))
  }
}
