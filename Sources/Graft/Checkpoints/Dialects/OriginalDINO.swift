extension [Rule] {
  /// Gated MLPs with the gate and what it opens in one matrix, as DINOv2 and EVA-02 name them.
  static let packedGate = block("blocks.{i}.", ["mlp.w12": "mlp.fc1", "mlp.w3": "mlp.fc2"])
  /// The same with two matrices.
  static let separateGate =
    packed(["blocks.{i}.mlp.w1", "blocks.{i}.mlp.w2"], in: "blocks.{i}.mlp.fc1")
    + block("blocks.{i}.", ["mlp.w3": "mlp.fc2"])
  /// The class token stores its position in the table's first row; registers have none.
  static func classPosition(_ token: String, _ positions: String) -> [Rule] {
    [
      Rule(token, "cls_token", .plusFirstRow(of: NamePattern(positions))),
      Rule(positions, "pos_embed", .withoutFirstRow),
    ]
  }
  /// Without what others put in the place of some.
  func without(_ targets: String...) -> [Rule] { filter { !targets.contains($0.target.text) } }
}

extension [NamePattern] {
  /// What tells DINOv2's own files from timm's, which have the same names but no token of hidden patches.
  static let originalDINOv2: [NamePattern] = ["mask_token", "blocks.0.ls1.gamma"]
}

extension Dialect {
  /// The original files of DINOv2 and DINOv3.
  static let originalDINO: [Dialect] = [
    Dialect(
      name: "original-dinov2-registers",
      marks: ["patch_embed.proj.weight", "register_tokens", "blocks.0.ls1.gamma"],
      rules: [Rule].timmBase.without("cls_token", "pos_embed", "reg_token") + .packedGate
        + .classPosition("cls_token", "pos_embed") + [Rule("register_tokens", "reg_token")],
      dropped: .besideTimm,
      facts: Facts(epsilon: 1e-6, pooling: .token, normalization: .imageNet, resampling: .bicubicAntialias)),
    Dialect(
      name: "original-dinov2",
      marks: ["patch_embed.proj.weight", "blocks.0.attn.qkv.weight"] + .originalDINOv2,
      absent: .notTimmViT, rules: .timmBase, dropped: .besideTimm,
      facts: Facts(
        epsilon: 1e-6, activation: .gelu, pooling: .token, normalization: .imageNet,
        resampling: .bicubicOffset)),
    Dialect(
      name: "original-dinov2-giant",
      marks: ["patch_embed.proj.weight", "blocks.0.mlp.w12.weight", "blocks.0.ls1.gamma"],
      absent: ["register_tokens", "blocks.0.attn.q_bias"], rules: .timmBase + .packedGate,
      dropped: .besideTimm,
      facts: Facts(epsilon: 1e-6, pooling: .token, normalization: .imageNet, resampling: .bicubicOffset)),
    Dialect(
      name: "original-dinov3", marks: ["patch_embed.proj.weight", "storage_tokens"],
      rules: [Rule].timmBase.without("reg_token", "blocks.{i}.attn.qkv.{p}") + .separateGate + [
        Rule("storage_tokens", "reg_token"),
        Rule("blocks.{i}.attn.qkv.weight", "blocks.{i}.attn.qkv.weight"),
        Rule(
          "blocks.{i}.attn.qkv.bias", "blocks.{i}.attn.qkv.bias", .masked(by: "blocks.{i}.attn.qkv.bias_mask")
        ),
      ],
      dropped: .besideTimm + ["blocks.{i}.attn.qkv.bias_mask", "rope_embed.periods", "local_cls_norm.{p}"],
      isEVAInTimm: true,
      facts: Facts(epsilon: 1e-5, pooling: .token, normalization: .imageNet)),
  ]
}
