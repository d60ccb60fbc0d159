extension Dialect {
  /// BEiT's own pre-training files, with one table of relative positions for all blocks; the fine-tuned ones have timm's
  /// names.
  static let originalBEiT: [Dialect] = [
    Dialect(
      name: "original-beit",
      marks: ["patch_embed.proj.weight", "rel_pos_bias.relative_position_bias_table"],
      rules: .timmBase + .evaBlocks + [
        Rule(
          "rel_pos_bias.relative_position_bias_table", "blocks.{i}.attn.relative_position_bias_table", .shared
        )
      ],
      dropped: .besideTimm + ["lm_head.{p}"], isEVAInTimm: true,
      facts: Facts(epsilon: 1e-6, activation: .gelu, normalization: .half, relativeResampling: .geometric))
  ]
}
