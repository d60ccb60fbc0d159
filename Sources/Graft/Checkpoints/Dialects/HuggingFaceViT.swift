extension [Rule] {
  /// What stands before and behind the blocks of transformers' ViTs.
  static let huggingFaceEnds: [Rule] =
    [
      Rule("embeddings.cls_token", "cls_token"), Rule("embeddings.distillation_token", "dist_token"),
      Rule("embeddings.position_embeddings", "pos_embed"),
    ]
    + modules([
      "embeddings.patch_embeddings.projection": "patch_embed.proj", "layernorm": "norm", "classifier": "head",
      "cls_classifier": "head", "distillation_classifier": "head_dist",
    ])

  /// Attention as published files name it.
  static let huggingFaceAttention: [Rule] =
    packed(
      ["query", "key", "value"].map { "encoder.layer.{i}.attention.attention.\($0)" },
      in: "blocks.{i}.attn.qkv")
    + block("encoder.layer.{i}.", ["attention.output.dense": "attn.proj"])

  /// Attention in transformers from version 5.
  static func projections(_ layer: String) -> [Rule] {
    packed(["q", "k", "v"].map { "\(layer)attention.\($0)_proj" }, in: "blocks.{i}.attn.qkv")
      + block(layer, ["attention.o_proj": "attn.proj"])
  }

  /// The norms of ViT, MAE, DeiT and BEiT, and BEiT's layer scales.
  static func huggingFaceNorms(_ layer: String) -> [Rule] {
    block(layer, ["layernorm_before": "norm1", "layernorm_after": "norm2"])
      + tensors(layer, ["lambda_1": "ls1.gamma", "lambda_2": "ls2.gamma"])
  }
}

extension Dialect {
  /// transformers' ViT, ViTMAE, DeiT and BEiT, as published and as version 5 names them in memory.
  static let huggingFaceViT: [Dialect] = [false, true].flatMap { isBEiT in
    [
      huggingFaceViT(
        isBEiT, "", in: "encoder.layer.", attention: "attention.attention.query.weight",
        rules: .huggingFaceAttention + .huggingFaceNorms("encoder.layer.{i}.")
          + .block("encoder.layer.{i}.", ["intermediate.dense": "mlp.fc1", "output.dense": "mlp.fc2"])
          + .tensors(
            "encoder.layer.{i}.attention.attention.",
            ["relative_position_bias.relative_position_bias_table": "attn.relative_position_bias_table"])
          + [
            Rule(
              "encoder.relative_position_bias.relative_position_bias_table",
              "blocks.{i}.attn.relative_position_bias_table", .shared)
          ]),
      huggingFaceViT(
        isBEiT, "-5", in: "layers.", attention: "attention.q_proj.weight",
        rules: .projections("layers.{i}.") + .huggingFaceNorms("layers.{i}.")
          + .block("layers.{i}.", ["mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"])
          + .tensors(
            "layers.{i}.",
            ["relative_position_bias.relative_position_bias_table": "attn.relative_position_bias_table"])),
    ]
  }

  private static func huggingFaceViT(
    _ isBEiT: Bool, _ spelling: String, in layers: String, attention: String, rules: [Rule]
  ) -> Dialect {
    let scale = NamePattern("\(layers)0.lambda_1")
    return Dialect(
      name: "huggingface-\(isBEiT ? "beit" : "vit")\(spelling)",
      marks: [
        "embeddings.patch_embeddings.projection.weight", NamePattern("\(layers)0.layernorm_before.weight"),
        NamePattern("\(layers)0.\(attention)"),
      ] + (isBEiT ? [scale] : []), absent: isBEiT ? [] : [scale], prefixes: ["", "vit.", "deit.", "beit."],
      rules: .huggingFaceEnds + rules + .modules(["pooler.layernorm": "fc_norm"]),
      dropped: [
        "embeddings.mask_token", "pooler.dense.{p}", "decoder.*", "*relative_position_index", "lm_head.{p}",
      ], hasHeadBeside: true, isEVAInTimm: isBEiT, modelPrefix: isBEiT ? "beit." : "vit.",
      facts: Facts(
        epsilon: 1e-12, activation: .gelu, pooling: isBEiT ? nil : .token, normalization: .half,
        resampling: .bicubicHalfPixel, relativeResampling: .bilinearHalfPixel))
  }
}
