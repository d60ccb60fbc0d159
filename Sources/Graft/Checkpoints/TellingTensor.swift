/// A tensor by whose name a model shows that it is none that Graft computes, or that its names are another library's.
///
/// Looked at before the shape is worked out, so that the error names what matters instead of the first consequence.
struct TellingTensor {
  /// Names, the first that is found tells; `*` at either end stands for anything.
  let patterns: [String]
  /// What the model is.
  let model: String
  /// What to do.
  let advice: FileAdvice

  private init(_ patterns: String..., model: String, advice: FileAdvice = Self.plainModel) {
    self.patterns = patterns
    self.model = model
    self.advice = advice
  }

  /// The names of other libraries, wrappers and kinds of files first, then what timm's names tell.
  private static let present: [TellingTensor] = [
    .init(
      "base_model.model.*", "*.lora_A.weight", "*lora_A.default*", "*.lora_down.weight",
      model: "these are an adapter's weights", advice: .words("Give the backbone's own file.")),
    .init(
      "lm_head.*", "model.layers.*", "model.embed_tokens.*", "language_model.*", "text_model.*",
      "transformer.wte.*", "transformer.h.*",
      model: "this is a language model, or one of language and pictures",
      advice: otherModel),
    .init(
      "model.diffusion_model.*", "down_blocks.*", "double_blocks.*", "first_stage_model.*",
      model: "this is a model that makes pictures", advice: otherModel),
    .init(
      "module.base_encoder.*", "module.momentum_encoder.*", model: "this is a whole training of MoCo's",
      advice: .python(.withoutPrefix("module.base_encoder."))),
    .init("module.*", model: wrapped, advice: .python(.withoutPrefix("module."))),
    .init("_orig_mod.*", model: wrapped, advice: .python(.withoutPrefix("_orig_mod."))),
    .init("backbone.*", model: wrapped, advice: .python(.withoutPrefix("backbone."))),
    .init("model.*", model: wrapped, advice: .python(.withoutPrefix("model."))),
    .init("teacher.backbone.*", model: wrapped, advice: .python(.withoutPrefix("teacher.backbone."))),
    .init("teacher.*", model: wrapped, advice: .python(.withoutPrefix("teacher."))),
    .init("visual.trunk.*", model: wrapped, advice: .python(.withoutPrefix("visual.trunk."))),
    .init("visual.*", "vision_model.*", "vision_tower.*", model: "these are CLIP's names", advice: timmFile),
    .init("image_encoder.*", model: "this is a Segment Anything model", advice: otherModel),
    .init(
      "vit.*", "deit.*", "beit.*", "swin.*", "swinv2.*", "convnext.*", "dinov2.*", "dinov2_with_registers.*",
      "embeddings.*", "embedder.*", "encoder.layer.*", "encoder.stages.*", "layer.0.*",
      model: "these are the names of HuggingFace's transformers", advice: timmFile),
    .init(
      "class_token", "conv_proj.*", "encoder.layers.*", "encoder.pos_embedding", "features.*",
      model: "these are torchvision's names", advice: timmFile),
    .init(
      "Transformer/*", "embedding/*", "params/*", model: "these are the names of Google's JAX code",
      advice: timmFile),
    .init(
      "decoder_*", "decoder.*", model: "this is a masked autoencoder with its decoder",
      advice: .words("Save the encoder alone: leave out what begins with decoder, and mask_token.")),
    .init("reg_token", "register_tokens", "storage_tokens", model: "this model has register tokens"),
    .init("dist_token", "head_dist.*", model: "this model has a distillation token"),
    .init("attn_pool.*", model: "this model ends in attention pooling, not in a class token"),
    .init("fc_norm.*", model: "this model averages its tokens at the end, and has its last norm behind that"),
    .init(
      "stages.*", "downsample_layers.*", model: "this is a ConvNeXt, or another model in stages",
      advice: otherModel),
    .init("norm_pre.*", "ln_pre.*", model: "this model has a norm before the first block, as CLIP has"),
    .init("patch_embed.backbone.*", model: "a convolutional network makes this model's patches"),
    .init("layers.*", model: "this is a Swin Transformer, or another model in stages", advice: otherModel),
    .init("*.mlp_tokens.fc1.weight", "stem.*", model: "this is an MLP-Mixer", advice: otherModel),
    .init("conv1.weight", "layer1.*", model: "this is a ResNet", advice: otherModel),
    .init(
      "*.relative_position_bias_table", "rel_pos_bias.*", "shared_rel_pos.*", "*.rel_pos.mlp.fc1.weight",
      "*.attn.rel_pos_h", model: "this model's attention knows relative positions"),
    .init(
      "rope.*", "rope_embed.*", "*.rope.*",
      model: "this model's positions are turned into queries and keys (RoPE)"),
    .init(
      "*.mlp.w12.weight", "*.mlp.w1.weight", "*.mlp.fc1_g.weight", "*.mlp.gate_proj.weight",
      model: "this model's MLPs are gated (SwiGLU)"),
    .init("*.q_norm.weight", "*.k_norm.weight", model: "this model normalises queries and keys"),
    .init("*.attn.q_bias", model: "this model's queries and values alone have biases, as in BEiT and EVA"),
    .init(
      "*.attn.q_proj.weight", "*.attn.to_q.weight", model: "this model keeps queries, keys and values apart"),
    .init("*.attns.0.attn.qkv.weight", "*.in_proj.weight", model: "this model's branches stand side by side"),
    .init(
      "*.attn.norm.weight", "*.mlp.norm.weight", "*.attn.lambda_q1",
      model: "this model has more norms or products in its blocks"),
    .init("*.attn.proj_l.weight", model: "this is a CaiT"),
    .init("*.gamma_1", model: "these are the names of BEiT, EVA or ConvNeXt"),
    .init("patch_embed.norm.*", model: "this model has a norm behind its patches"),
  ]

  /// What is missing from a file whose other names are a ViT's of timm's.
  private static let missing: [TellingTensor] = [
    .init("cls_token", model: "this model has no class token and averages its tokens at the end"),
    .init("pos_embed", model: "this model has no learned position embedding"),
    .init("*.attn.qkv.bias", model: "this model's attention has no biases"),
    .init("*.norm1.bias", model: "this model's norms have no biases"),
    .init("patch_embed.proj.bias", model: "this model's patch embedding has no bias"),
    .init("norm.weight", model: "this model has no norm at the end"),
  ]

  private static let wrapped = "another program's prefix stands before the names"
  private static let plainModel = FileAdvice.words(
    """
    Graft does not compute that; graft info --architectures lists the models that it does. Take the weights of one of \
    them.
    """)
  private static let otherModel = FileAdvice.words(
    "Graft adapts plain Vision Transformers; graft info --architectures lists them.")
  private static let timmFile = FileAdvice.words(
    "Graft reads timm's: take timm's file of the same weights, or save timm's model with Python's safetensors."
  )
}

extension TellingTensor {
  /// The error that the first telling tensor makes; `nil` where none tells anything.
  static func first(in file: SafetensorsFile) -> CheckpointError? {
    func error(_ tensor: String, isThere: Bool, _ row: TellingTensor) -> CheckpointError {
      .unsupportedModel(
        path: file.path, tensor: tensor, isThere: isThere,
        meaning: "\(row.model). \(row.advice.text(for: file.path))")
    }
    for row in present {
      if let name = row.patterns.lazy.compactMap({ pattern in file.names.first { matches($0, pattern) } })
        .first
      {
        return error(name, isThere: true, row)
      }
    }
    guard file.tensors["patch_embed.proj.weight"] != nil, file.tensors["blocks.0.attn.qkv.weight"] != nil
    else {
      return nil
    }
    for row in missing {
      for pattern in row.patterns where !file.names.contains(where: { matches($0, pattern) }) {
        return error(pattern, isThere: false, row)
      }
    }
    // One place for each patch and none for the class token: a square, as one more is not.
    if let position = file.tensors["pos_embed"]?.shape, position.count == 3, position[1] > 1 {
      let side = Int(Double(position[1]).squareRoot().rounded())
      if side * side == position[1] {
        return .unsupportedModel(
          path: file.path, tensor: "pos_embed",
          meaning: "this model's position embedding leaves out the class token, as in DeiT III. "
            + plainModel.text(for: file.path))
      }
    }
    return nil
  }

  private static func matches(_ name: String, _ pattern: String) -> Bool {
    let inner = pattern.drop { $0 == "*" }
    let (opens, closes) = (pattern.hasPrefix("*"), pattern.hasSuffix("*"))
    switch (opens, closes) {
    case (false, false): return name == pattern
    case (true, false): return name.hasSuffix(inner)
    case (false, true): return name.hasPrefix(pattern.dropLast())
    case (true, true): return name.contains(inner.dropLast())
    }
  }
}
