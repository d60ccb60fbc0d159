extension [Rule] {
  /// Blocks of EVA and BEiT, whose queries and values alone have biases, perhaps apart from the weights.
  static let evaBlocks = evaProjections + evaBiases + layerScale

  /// Projections of EVA that are apart.
  static let evaProjections = packed(
    ["blocks.{i}.attn.q_proj", "blocks.{i}.attn.k_proj", "blocks.{i}.attn.v_proj"], in: "blocks.{i}.attn.qkv")
  /// Biases that are apart from weights in one piece.
  static let evaBiases = [
    Rule("blocks.{i}.attn.q_bias", "blocks.{i}.attn.qkv.bias", .rows(0, of: 3)),
    Rule("blocks.{i}.attn.v_bias", "blocks.{i}.attn.qkv.bias", .rows(2, of: 3)),
  ]
  /// A gate and what it opens, apart.
  static let evaGate = packed(["blocks.{i}.mlp.fc1_g", "blocks.{i}.mlp.fc1_x"], in: "blocks.{i}.mlp.fc1")

  /// Layer scales as BEiT, EVA and DeiT III name them.
  static let layerScale = tensors("blocks.{i}.", ["gamma_1": "ls1.gamma", "gamma_2": "ls2.gamma"])
}

extension Dialect {
  /// timm's EVA and BEiT, of whose classes DINOv3 is one.
  static let timmEVA: [Dialect] = [
    timmEVA(
      "timm-eva", absent: ["reg_token"],
      facts: Facts(epsilon: 1e-6, resampling: .bicubicAntialias, relativeResampling: .geometric)),
    timmEVA(
      "timm-dinov3", marks: ["reg_token"],
      facts: Facts(epsilon: 1e-5, pooling: .average, normalization: .imageNet)),
  ]

  private static func timmEVA(
    _ name: String, marks: [NamePattern] = [], absent: [NamePattern] = [], facts: Facts
  ) -> Dialect {
    Dialect(
      name: name, marks: ["patch_embed.proj.weight", "blocks.0.norm1.weight"] + marks,
      anyOf: [
        "blocks.0.attn.q_bias", "blocks.0.attn.q_proj.weight", "blocks.0.mlp.fc1_g.weight",
        "blocks.0.gamma_1",
      ],
      absent: [
        "blocks.0.attn.qkv.bias", "blocks.0.mlp.w12.weight", "blocks.0.mlp.w1.weight", "storage_tokens",
        "rel_pos_bias.relative_position_bias_table",
      ] + absent,
      prefixes: ["", "visual.trunk."],
      rules: .timmBase + .evaBlocks + .evaGate,
      dropped: .besideTimm, isEVAInTimm: true, facts: facts)
  }
}
