import Foundation
import GraftSystem
import Testing

@testable import Graft

@Suite struct TellingTensorTests {
  /// A file of these tensors, of one element each but for the position embedding.
  private func file(_ names: [String], positions: Int = 197, in folder: TemporaryFolder) throws
    -> SafetensorsFile
  {
    try Safetensors.write(
      names.map { name in
        let shape = name == "pos_embed" ? [1, positions, 1] : [1]
        return (name, shape, [Float](repeating: 0, count: shape.reduce(1, *)))
      }, to: folder.file("f.safetensors"))
    return try SafetensorsFile(path: folder.file("f.safetensors"))
  }

  private static let plain = [
    "cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias", "norm.weight", "norm.bias",
    "blocks.0.norm1.weight", "blocks.0.norm1.bias", "blocks.0.attn.qkv.weight", "blocks.0.attn.qkv.bias",
  ]

  @Test func everyOtherModelOfTimmsIsTold() throws {
    let folder = try TemporaryFolder()
    for group in try TimmArchitectures.fixture.get().others {
      // Names do not tell these two from a plain ViT; the number of positions does.
      let withoutClassPosition = ["deit3", "flexivit"].contains { group.models[0].hasPrefix($0) }
      let file = try file(group.tensors, positions: withoutClassPosition ? 196 : 197, in: folder)
      let error = TellingTensor.first(in: file)
      guard case .unsupportedModel(_, let tensor, let isThere, _) = error else {
        Issue.record("\(group.models): \(String(describing: error))")
        continue
      }
      let names = group.tensors
      #expect(isThere ? names.contains(tensor) : !names.contains(tensor), "\(group.models): \(tensor)")
    }
  }

  @Test func plainModelsAreNotSuspected() throws {
    let folder = try TemporaryFolder()
    #expect(try TellingTensor.first(in: file(Self.plain + ["head.weight", "mask_token"], in: folder)) == nil)
    for architecture in BackboneCatalog.all {
      let names = try architecture.architecture.shape().tensors.map(\.name)
      #expect(try TellingTensor.first(in: file(names, in: folder)) == nil, "\(architecture.name)")
    }
  }

  @Test(arguments: [
    ("reg_token", "register tokens"), ("register_tokens", "register tokens"), ("dist_token", "distillation"),
    ("fc_norm.weight", "averages"), ("norm_pre.weight", "before the first block"),
    ("attn_pool.latent", "attention pooling"), ("blocks.0.mlp.w12.weight", "SwiGLU"),
    ("blocks.0.mlp.fc1_g.weight", "SwiGLU"), ("blocks.0.attn.q_norm.weight", "normalises queries"),
    ("blocks.0.attn.q_bias", "BEiT"), ("blocks.0.attn.relative_position_bias_table", "relative"),
    ("decoder_pos_embed", "leave out what begins with decoder"),
    ("rope_embed.periods", "RoPE"), ("blocks.0.gamma_1", "BEiT"),
  ])
  func tellingBesidePlainNames(_ name: String, _ words: String) throws {
    let folder = try TemporaryFolder()
    let error = try #require(TellingTensor.first(in: file(Self.plain + [name], in: folder)))
    #expect(error.description.contains("its tensor \(name) tells: ") && error.description.contains(words))
  }

  @Test(arguments: [
    (["embeddings.cls_token", "encoder.layer.0.norm1.weight"], "HuggingFace's transformers"),
    (["vit.embeddings.cls_token"], "HuggingFace's transformers"),
    (["module.cls_token", "module.reg_token"], "p = 'module.'"), (["backbone.cls_token"], "p = 'backbone.'"),
    (["model.cls_token"], "p = 'model.'"),
    (["student.x", "teacher.backbone.cls_token"], "p = 'teacher.backbone.'"),
    (["visual.conv1.weight"], "CLIP's names"), (["class_token", "conv_proj.weight"], "torchvision's names"),
    (["model.layers.0.self_attn.q_proj.weight"], "language model"),
    (["base_model.model.blocks.0.attn.qkv.lora_A.weight"], "an adapter's weights"),
    (["layers.0.blocks.0.norm1.weight"], "Swin"), (["stages.0.blocks.0.conv_dw.weight"], "ConvNeXt"),
    (["downsample_layers.0.0.weight"], "ConvNeXt"), (["layer1.0.conv1.weight"], "ResNet"),
  ])
  func otherNames(_ names: [String], _ words: String) throws {
    let folder = try TemporaryFolder()
    let path = try file(names, in: folder).path
    let error = checkpointError { _ = try BackboneShape(path: path) }
    #expect(error?.description.contains(words) == true, "\(String(describing: error))")
  }

  @Test func whatIsMissingTells() throws {
    let folder = try TemporaryFolder()
    for name in ["cls_token", "pos_embed", "patch_embed.proj.bias", "norm.weight"] {
      let error = try TellingTensor.first(in: file(Self.plain.filter { $0 != name }, in: folder))
      #expect(error?.description.contains("it has no tensor \(name): this model") == true, "\(name)")
    }
    // Where one block of several lacks it, the file is damaged and no other model.
    let damaged = Self.plain.filter { !$0.hasPrefix("blocks.0.attn.qkv.b") } + ["blocks.1.attn.qkv.bias"]
    #expect(try TellingTensor.first(in: file(damaged, in: folder)) == nil)
  }

  /// DINOv2's own files have the token that stood for hidden patches; nothing reads it.
  @Test func maskTokensAreKeptAndIgnored() async throws {
    try await Fixtures.withFolder { folder in
      let plain = try SafetensorsFile(path: Fixtures.smallPath)
      let token = Safetensors.TensorData(
        name: "mask_token", shape: [1, 64], values: [Float](repeating: 7, count: 64))
      let path = folder / "backbone.safetensors"
      try Safetensors.write(plain.names.map { try .init(copying: $0, from: plain) } + [token], to: path)
      let vit = try Backbone(path: path, options: .init(heads: 4), on: Fixtures.context.get())
      let model = try GraftedModel(vit, adapter: Fixtures.adapter("lora"), classes: GraftedModel.names)
      let images = Fixtures.noise(2)
      let reference = try GraftedModel.small("lora")
      #expect(try model.logits(images) == reference.logits(images))
      let merged = folder / "merged.safetensors"
      try model.merge(to: merged)
      #expect(try SafetensorsFile(path: merged).floats("mask_token") == [Float](repeating: 7, count: 64))
      _ = try GraftedModel(merged: merged, on: vit.context)
      _ = try BackboneShape(path: merged, options: .init(heads: 4))
    }
  }
}
