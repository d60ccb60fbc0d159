extension Dialect {
  /// The image towers of transformers' CLIP and SigLIP, alone or beside the tower for text.
  static let huggingFaceCLIP: [Dialect] = [
    huggingFaceCLIP(
      "clip", marks: ["embeddings.class_embedding"],
      rules: [Rule("embeddings.class_embedding", "cls_token", .token)]
        + .modules(["pre_layrnorm": "norm_pre"]),
      facts: Facts(
        epsilon: 1e-5, activation: .quickGELU, pooling: .token, normalization: .clip,
        resampling: .bicubicHalfPixel)),
    huggingFaceCLIP(
      "siglip", absent: ["embeddings.class_embedding"],
      rules: [
        Rule("head.probe", "attn_pool.latent"),
        Rule("head.attention.in_proj_weight", "attn_pool.q.weight", .taking(0, of: 3)),
        Rule("head.attention.in_proj_weight", "attn_pool.kv.weight", .taking(1, 2, of: 3)),
        Rule("head.attention.in_proj_bias", "attn_pool.q.bias", .taking(0, of: 3)),
        Rule("head.attention.in_proj_bias", "attn_pool.kv.bias", .taking(1, 2, of: 3)),
      ]
        + .modules(
          [
            "attention.out_proj": "proj", "layernorm": "norm", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2",
          ], in: "head.", to: "attn_pool."),
      facts: Facts(
        epsilon: 1e-6, activation: .geluTanh, normalization: .half, resampling: .bicubicHalfPixel)),
  ]

  private static func huggingFaceCLIP(
    _ name: String, marks: [NamePattern] = [], absent: [NamePattern] = [], rules: [Rule], facts: Facts
  ) -> Dialect {
    Dialect(
      name: "huggingface-\(name)",
      marks: ["embeddings.patch_embedding.weight", "encoder.layers.0.self_attn.q_proj.weight"] + marks,
      absent: absent, prefixes: ["vision_model.", ""],
      rules: rules + [Rule("embeddings.position_embedding.weight", "pos_embed", .table)]
        + .modules([
          "embeddings.patch_embedding": "patch_embed.proj", "post_layernorm": "norm", "classifier": "head",
        ])
        + .packed(
          ["q", "k", "v"].map { "encoder.layers.{i}.self_attn.\($0)_proj" }, in: "blocks.{i}.attn.qkv")
        + .block(
          "encoder.layers.{i}.",
          [
            "self_attn.out_proj": "attn.proj", "layer_norm1": "norm1", "layer_norm2": "norm2",
            "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2",
          ]),
      dropped: [
        "text_model.*", "text_projection.*", "visual_projection.*", "logit_scale", "logit_bias",
        "*position_ids",
      ], hasHeadBeside: true, facts: facts)
  }
}
