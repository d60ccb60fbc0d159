extension [Rule] {
  /// What no dialect of timm's kind renames: tokens, patches, norms, and blocks with `qkv` in one.
  static let timmBase: [Rule] =
    same("cls_token", "dist_token", "reg_token", "pos_embed", "blocks.{i}.attn.relative_position_bias_table")
    + modules([
      "patch_embed.proj": "patch_embed.proj", "norm_pre": "norm_pre", "norm": "norm", "fc_norm": "fc_norm",
      "head": "head", "head_dist": "head_dist",
    ])
    + block(
      "blocks.{i}.",
      [
        "norm1": "norm1", "norm2": "norm2", "attn.qkv": "attn.qkv", "attn.q_norm": "attn.q_norm",
        "attn.k_norm": "attn.k_norm", "attn.norm": "attn.norm", "attn.proj": "attn.proj",
        "mlp.fc1": "mlp.fc1",
        "mlp.norm": "mlp.norm", "mlp.fc2": "mlp.fc2",
      ])
    + tensors("blocks.{i}.", ["ls1.gamma": "ls1.gamma", "ls2.gamma": "ls2.gamma"])
    + same("attn_pool.latent")
    + modules([
      "attn_pool.q": "attn_pool.q", "attn_pool.kv": "attn_pool.kv", "attn_pool.proj": "attn_pool.proj",
      "attn_pool.norm": "attn_pool.norm", "attn_pool.mlp.fc1": "attn_pool.mlp.fc1",
      "attn_pool.mlp.fc2": "attn_pool.mlp.fc2",
    ])
}

extension [NamePattern] {
  /// What pre-training leaves beside a backbone of timm's names: decoders, projectors, tokens of hidden patches, tables
  /// that are computed anew, and towers for text.
  static let besideTimm: [NamePattern] = [
    "mask_token", "decoder*", "head.{i}.*", "head.mlp.*", "head.last_layer.*", "momentum_encoder.*",
    "module.momentum_encoder.*", "predictor.*", "module.predictor.*", "*relative_position_index", "text.*",
    "visual.head.*", "logit_scale", "logit_bias",
  ]

  /// Names by which a file is of another dialect than timm's for a plain ViT.
  static let notTimmViT: [NamePattern] = [
    "blocks.0.gamma_1", "blocks.0.attn.q_bias", "blocks.0.attn.q_proj.weight", "blocks.0.mlp.fc1_g.weight",
    "blocks.0.mlp.w12.weight", "blocks.0.mlp.w1.weight", "register_tokens", "storage_tokens",
    "rel_pos_bias.relative_position_bias_table",
  ]
}

extension Dialect {
  /// timm's plain Vision Transformers, whose names are the canonical ones; the files of MAE, MoCo v3, DeiT and DINO have
  /// them too.
  static let timmViT: [Dialect] = [
    timmViT(
      "timm", absent: ["norm_pre.weight", "decoder_embed.weight"],
      facts: Facts(epsilon: 1e-6, activation: .gelu, resampling: .bicubicAntialias)),
    timmViT(
      "timm-clip", marks: ["norm_pre.weight"],
      facts: Facts(epsilon: 1e-5, pooling: .token, normalization: .clip, resampling: .bicubicAntialias)),
    // What tells these from timm's lies beside the backbone.
    timmViT(
      "mae", marks: ["decoder_embed.weight"],
      facts: Facts(
        epsilon: 1e-6, activation: .gelu, normalization: .imageNet, resampling: .bicubicAntialias)),
    timmViT(
      "moco-v3", prefixes: ["base_encoder."],
      facts: Facts(
        epsilon: 1e-6, activation: .gelu, normalization: .imageNet, resampling: .bicubicAntialias)),
  ]

  private static func timmViT(
    _ name: String, marks: [NamePattern] = [], absent: [NamePattern] = [],
    prefixes: [String] = ["", "visual.trunk."], facts: Facts
  ) -> Dialect {
    Dialect(
      name: name, marks: ["patch_embed.proj.weight", "blocks.0.attn.qkv.weight"] + marks,
      absent: .notTimmViT + absent, absentTogether: .originalDINOv2, prefixes: prefixes, rules: .timmBase,
      dropped: .besideTimm, facts: facts)
  }
}
