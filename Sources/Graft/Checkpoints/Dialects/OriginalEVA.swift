extension Dialect {
  /// EVA-02's original files, and the image towers of EVA-CLIP.
  static let originalEVA: [Dialect] = [
    Dialect(
      name: "original-eva02", marks: ["patch_embed.proj.weight", "blocks.0.attn.q_bias"],
      anyOf: ["blocks.0.mlp.w1.weight", "blocks.0.mlp.w12.weight"], absent: ["storage_tokens"],
      prefixes: ["", "visual."],
      rules: .timmBase + .evaBlocks + .packedGate
        + .packed(
          ["blocks.{i}.mlp.w1", "blocks.{i}.mlp.w2"], in: "blocks.{i}.mlp.fc1")
        + .block("blocks.{i}.", ["attn.inner_attn_ln": "attn.norm", "mlp.ffn_ln": "mlp.norm"]),
      dropped: .besideTimm + ["*rope.freqs_cos", "*rope.freqs_sin"], isEVAInTimm: true,
      facts: Facts(epsilon: 1e-6, normalization: .clip, resampling: .bicubicAntialias))
  ]
}
