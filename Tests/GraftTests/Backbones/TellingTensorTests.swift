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

  /// Of timm's other models those that the dialects read, by the first of each group with the same tensors.
  private static let read: Set<String> = [
    "beit3_base_patch16_224", "beit_base_patch16_224", "deit3_base_patch16_224",
    "deit_base_distilled_patch16_224", "eva02_base_patch14_224", "eva02_base_patch16_clip_224",
    "eva02_enormous_patch14_clip_224", "eva02_small_patch14_224", "eva_large_patch14_196", "flexivit_base",
    "vit_7b_patch16_dinov3", "vit_base_patch14_reg1_tipsv2", "vit_base_patch16_224_miil",
    "vit_base_patch16_clip_224", "vit_base_patch16_dinov3", "vit_base_patch16_dinov3_qkvb",
    "vit_base_patch16_gap_224", "vit_base_patch16_reg4_gap_256", "vit_base_patch16_rope_reg1_gap_256",
    "vit_mediumd_patch16_rope_reg1_gap_256", "vit_base_patch16_siglip_224",
    "vit_betwixt_patch16_gap_256", "vit_betwixt_patch16_reg1_gap_256", "vit_huge_plus_patch16_dinov3_qkvb",
    "vit_so150m2_patch16_reg1_gap_256", "vit_so150m_patch16_reg4_gap_256", "vit_so150m_patch16_reg4_map_256",
  ]

  @Test func everyOtherModelOfTimmsIsReadOrTold() throws {
    let folder = try TemporaryFolder()
    var read: Set<String> = []
    for group in try TimmArchitectures.fixture.get().others {
      let file = try file(group.tensors, in: folder)
      do {
        #expect(try CanonicalWeights(file).unknown.isEmpty, "\(group.models)")
        read.insert(group.models[0])
      } catch {
        guard case .unsupportedModel(_, let tensor, let isThere, _) = error else {
          Issue.record("\(group.models): \(error)")
          continue
        }
        let names = group.tensors
        #expect(isThere ? names.contains(tensor) : !names.contains(tensor), "\(group.models): \(tensor)")
      }
    }
    #expect(read == Self.read, "\(read.symmetricDifference(Self.read))")
  }

  /// The error of a file of another model; `nil` where its names are those of one that is read.
  private func refusal(_ file: SafetensorsFile) -> CheckpointError? {
    let error = checkpointError { _ = try CanonicalWeights(file) }
    guard case .unsupportedModel = error else { return nil }
    return error
  }

  @Test func plainModelsAreNotSuspected() throws {
    let folder = try TemporaryFolder()
    #expect(try refusal(file(Self.plain + ["head.weight", "mask_token"], in: folder)) == nil)
    for architecture in BackboneCatalog.all {
      let names = try architecture.architecture.shape().tensors.map(\.name)
      #expect(try refusal(file(names, in: folder)) == nil, "\(architecture.name)")
    }
  }

  @Test(arguments: [
    ("patch_embed.backbone.conv.weight", "convolutional"), ("patch_embed.norm.weight", "behind its patches"),
    ("blocks.0.attn.rel_pos_h", "relative"), ("rope.freqs", "RoPE"), ("blocks.0.attn.proj_l.weight", "CaiT"),
    ("blocks.0.attn.lambda_q1", "another kind"), ("blocks.0.attn.qkv.weight_scale", "quantised"),
  ])
  func tellingBesidePlainNames(_ name: String, _ words: String) throws {
    let folder = try TemporaryFolder()
    let error = try #require(refusal(file(Self.plain + [name], in: folder)))
    #expect(error.description.contains("its tensor \(name) tells: ") && error.description.contains(words))
  }

  @Test(arguments: [
    (
      ["embeddings.cls_token", "encoder.layer.0.norm1.weight"],
      "read as names of huggingface-dinov2 (missing: "
    ),
    (["visual.conv1.weight"], "openai-clip"), (["class_token", "conv_proj.weight"], "torchvision's names"),
    (["visual.conv1.weight", "visual.layer1.0.conv1.weight"], "CLIP whose image tower is a ResNet"),
    (["model.layers.0.self_attn.q_proj.weight"], "language model"),
    (["base_model.model.blocks.0.attn.qkv.lora_A.weight"], "an adapter's weights"),
    (["layers.0.blocks.0.norm1.weight"], "Swin"), (["stages.0.blocks.0.conv_dw.weight"], "ConvNeXt"),
    (["downsample_layers.0.0.weight"], "ConvNeXt"), (["layer1.0.conv1.weight"], "ResNet"),
    (["conv_root/kernel"], "convolutional network"), (["patch_embed.proj.0.weight"], "several convolutions"),
    (["embeds.proj.weight", "blocks.0.norm1.weight"], "NaFlex"),
    (["decoder_embed.weight", "mask_token"], "decoder, without the encoder"),
    (["a", "b"], "read as names of timm (missing: "),
  ])
  func otherNames(_ names: [String], _ words: String) throws {
    let folder = try TemporaryFolder()
    let file = try file(names, in: folder)
    let error = checkpointError { _ = try CanonicalWeights(file) }
    #expect(error?.description.contains(words) == true, "\(String(describing: error))")
    #expect(checkpointError { _ = try BackboneShape(path: file.path) } != nil)
  }

  @Test func whatIsMissingTells() throws {
    let folder = try TemporaryFolder()
    for name in ["pos_embed", "norm.weight"] {
      let error = try refusal(file(Self.plain.filter { $0 != name }, in: folder))
      #expect(error?.description.contains("it has no tensor \(name): this model") == true, "\(name)")
    }
    // Where one block of several lacks it, the file is damaged and no other model.
    let damaged = Self.plain.filter { !$0.hasPrefix("blocks.0.attn.qkv.b") } + ["blocks.1.attn.qkv.bias"]
    #expect(try refusal(file(damaged, in: folder)) == nil)
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
