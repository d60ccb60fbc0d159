/// A tensor by whose name a model shows that it is none that Graft computes.
///
/// Dialects tell whose names a file's are; this tells what no dialect maps, and names what matters instead of the first
/// consequence.
struct TellingTensor {
  /// Names of which one is there; `*` at either end stands for anything.
  let patterns: [NamePattern]
  /// Names that must all be there too.
  var with: [NamePattern] = []
  /// Names of which none may be there.
  var without: [NamePattern] = []
  /// Whether it tells by being missing: none of the patterns is there.
  var isMissing = false
  /// What the model is.
  let model: String
  /// What to do.
  let advice: String

  private init(
    _ patterns: NamePattern..., with: [NamePattern] = [], without: [NamePattern] = [],
    isMissing: Bool = false,
    model: String, advice: String = Self.plainModel
  ) {
    self.patterns = patterns
    self.with = with
    self.without = without
    self.isMissing = isMissing
    self.model = model
    self.advice = advice
  }

  /// Kinds of files and of models by names that are in no dialect.
  private static let foreign: [TellingTensor] = [
    .init(
      "base_model.model.*", "*.lora_A.weight", "*lora_A.default*", "*.lora_down.weight",
      model: "these are an adapter's weights", advice: "Give the backbone's own file."),
    .init(
      "lm_head.*", "model.layers.*", "model.embed_tokens.*", "language_model.*", "text_model.*",
      "transformer.wte.*", "transformer.h.*", "*embeddings.word_embeddings.weight",
      model: "this is a language model, or one of language and pictures",
      advice: otherModel),
    .init(
      "model.diffusion_model.*", "down_blocks.*", "double_blocks.*", "first_stage_model.*",
      model: "this is a model that makes pictures", advice: otherModel),
    .init("image_encoder.*", model: "this is a Segment Anything model", advice: otherModel),
    .init("visual.layer1.*", model: "this is a CLIP whose image tower is a ResNet", advice: otherModel),
    .init(
      "class_token", "conv_proj.*", "encoder.layers.encoder_layer_0.*", "encoder.pos_embedding", "features.*",
      model: "these are torchvision's names", advice: timmFile),
    .init(
      "swin.*", "swinv2.*", "convnext.*", "embedder.*", "stages.*", "downsample_layers.*", "encoder.stages.*",
      model: "this is a ConvNeXt, or another model in stages", advice: otherModel),
    .init(
      "patch_embed.proj.0.*", "*.patch_embed.proj.0.*",
      model: "several convolutions make this model's patches"),
    .init("embeds.proj.weight", model: naflex),
    .init(
      "layers.{i}.blocks.*", model: "this is a Swin Transformer, or another model in stages",
      advice: otherModel),
    .init("*.mlp_tokens.fc1.weight", "stem.*", model: "this is an MLP-Mixer", advice: otherModel),
    .init("conv1.weight", "layer1.*", model: "this is a ResNet", advice: otherModel),
    .init(
      "decoder*", without: ["patch_embed.proj.weight"],
      model: "this is a masked autoencoder's decoder, without the encoder",
      advice: "Take the file of the encoder, or of both."),
  ]

  /// What a ViT in a dialect's names has beside what Graft computes.
  private static let beside: [TellingTensor] = [
    .init(
      "*.weight_scale", "*.qweight", "*.weight.SCB", "*.SCB", "*.weight.absmax", "*.weight_quantized",
      "*.zero_point", model: "these weights are quantised",
      advice: "Take the file of the weights before that."
    ),
    .init(
      "patch_embed.backbone.*", "*patch_embeddings.backbone.*", "*conv_root/kernel", "*gn_root/scale",
      "*conv_root/*", model: convolutional),
    .init(
      "shared_rel_pos.*", "*.rel_pos.mlp.fc1.weight", "*.attn.rel_pos_h",
      model: "this model's attention knows relative positions by other means than BEiT's tables"),
    .init(
      "rope.*", "rope_embed.*", "*.rope.*",
      model: "this model learns how positions turn queries and keys (RoPE)"),
    .init(
      "*.attns.0.attn.qkv.weight", "*.in_proj.weight", model: "this model's branches stand side by side"),
    .init("*.attn.lambda_q1", "*.attn.to_q.weight", model: "this model's attention is of another kind"),
    .init("*.attn.proj_l.weight", model: "this is a CaiT"),
    .init("patch_embed.norm.*", model: "this model has a norm behind its patches"),
  ]

  /// What canonical names tell together, or by being missing.
  private static let canonical: [TellingTensor] = [
    .init("attn_pool.latent", with: ["norm_pre.weight"], model: rotated),
    .init(
      "fc_norm.weight", without: ["cls_token", "reg_token", "*.attn.qkv.bias"],
      model: "this model's norms stand behind its branches"),
    .init("norm.weight", "fc_norm.weight", isMissing: true, model: "this model has no norm at the end"),
    .init("*.norm1.bias", isMissing: true, model: "this model's norms have no biases"),
    .init("pos_embed", "*.relative_position_bias_table", "reg_token", isMissing: true, model: rotated),
  ]

  private static let convolutional = "a convolutional network makes this model's patches"
  private static let naflex = "this model embeds patches of any shape by a matrix (NaFlex)"
  private static let rotated =
    "this model's positions are turned into queries and keys (RoPE) in a way that its file does not tell"
  private static let plainModel =
    """
    Graft does not compute that; graft info --backbones lists the models that it does. Take the weights of one of \
    them.
    """
  private static let otherModel =
    "Graft adapts Vision Transformers; graft info --backbones lists them."
  private static let timmFile =
    "Graft does not read those: take timm's file of the same weights, or save timm's model with Python's safetensors."
}

extension TellingTensor {
  /// What the names of a file tell that are no dialect's; `nil` where they tell nothing.
  static func refusal(ofNamesIn file: any TensorFile) -> CheckpointError? {
    let names = Set(file.names)
    for row in foreign + beside {
      if let name = row.telling(names, sorted: file.names) { return row.error(name, isThere: true, file) }
    }
    return nil
  }

  /// What tells that the model behind a dialect's names is none that Graft computes.
  static func refusal(of weights: CanonicalWeights) -> CheckpointError? {
    let (file, names) = (weights.file, weights.index.names)
    for row in beside {
      if let name = row.telling(Set(weights.unknown), sorted: weights.unknown) {
        return row.error(name, isThere: true, file)
      }
    }
    for row in canonical {
      if let name = row.telling(Set(names), sorted: names) {
        return row.error(weights.nameInFile(name).first ?? name, isThere: !row.isMissing, file)
      }
    }
    let tensors = weights.index
    if let patches = tensors["patch_embed.proj.weight"], patches.count == 2 {
      let name = weights.nameInFile("patch_embed.proj.weight").first ?? "patch_embed.proj.weight"
      return Self("patch_embed.proj.weight", model: naflex).error(name, isThere: true, file)
    }
    // DeiT III's names are also those of models with a place for the class token, which turn queries and keys besides.
    if weights.dialect.hasSquarePositions, let positions = tensors["pos_embed"], positions.count == 3 {
      let side = Int(Double(max(0, positions[1])).squareRoot().rounded())
      if side &* side != positions[1] {
        return Self("pos_embed", model: rotated).error("pos_embed", isThere: true, file)
      }
    }
    return nil
  }

  /// The name that tells; for one that is missing, its pattern.
  private func telling(_ names: Set<String>, sorted: [String]) -> String? {
    func find(_ pattern: NamePattern) -> String? {
      pattern.isLiteral
        ? (names.contains(pattern.text) ? pattern.text : nil) : sorted.first(where: pattern.matches)
    }
    guard with.allSatisfy({ find($0) != nil }), without.allSatisfy({ find($0) == nil }) else { return nil }
    let found = patterns.lazy.compactMap(find).first
    if isMissing { return found == nil ? patterns.first?.text : nil }
    return found
  }

  private func error(_ tensor: String, isThere: Bool, _ file: any TensorFile) -> CheckpointError {
    .unsupportedModel(
      path: file.path, tensor: tensor, isThere: isThere, meaning: "\(model). \(advice)")
  }
}
