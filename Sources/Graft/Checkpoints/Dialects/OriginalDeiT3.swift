extension Dialect {
  /// DeiT III's own files: layer scales as in BEiT, positions for patches alone.
  static let originalDeiT3: [Dialect] = [
    Dialect(
      name: "original-deit3",
      marks: ["patch_embed.proj.weight", "blocks.0.attn.qkv.bias", "blocks.0.gamma_1"],
      absent: ["reg_token", "storage_tokens", "rel_pos_bias.relative_position_bias_table"],
      rules: .timmBase + .layerScale, dropped: .besideTimm, hasSquarePositions: true,
      facts: Facts(
        epsilon: 1e-6, activation: .gelu, pooling: .token, normalization: .imageNet,
        resampling: .bicubicAntialias))
  ]
}
