extension [Rule] {
  /// Attention of Flax's, with an axis for heads.
  private static func attention(_ source: String, _ form: (Form) -> Form) -> [Rule] {
    ["query", "key", "value"].enumerated().flatMap { part, name in
      [
        Rule("\(source)\(name)/kernel", "blocks.{i}.attn.qkv.weight", form(.toHeads).rows(part, of: 3)),
        Rule("\(source)\(name)/bias", "blocks.{i}.attn.qkv.bias", form(.headBias).rows(part, of: 3)),
      ]
    } + dense("\(source)out", "blocks.{i}.attn.proj", form, kernel: .fromHeads)
  }

  fileprivate static func dense(
    _ source: String, _ target: String, _ form: (Form) -> Form = { $0 }, kernel: Form = .transposed
  ) -> [Rule] {
    [
      Rule("\(source)/kernel", "\(target).weight", form(kernel)),
      Rule("\(source)/bias", "\(target).bias", form(.same)),
    ]
  }

  fileprivate static func norm(_ source: String, _ target: String, _ form: (Form) -> Form = { $0 }) -> [Rule]
  {
    [
      Rule("\(source)/scale", "\(target).weight", form(.same)),
      Rule("\(source)/bias", "\(target).bias", form(.same)),
    ]
  }

  /// A block; the numbers of its modules are those of their order in each code.
  fileprivate static func flaxBlock(
    _ block: String, attention: Int, norm: Int, mlp: Int, _ form: (Form) -> Form = { $0 }
  ) -> [Rule] {
    let source = "Transformer/\(block)/"
    return self.norm("\(source)LayerNorm_0", "blocks.{i}.norm1", form)
      + self.norm("\(source)LayerNorm_\(norm)", "blocks.{i}.norm2", form)
      + self.attention("\(source)MultiHeadDotProductAttention_\(attention)/", form)
      + dense("\(source)MlpBlock_\(mlp)/Dense_0", "blocks.{i}.mlp.fc1", form)
      + dense("\(source)MlpBlock_\(mlp)/Dense_1", "blocks.{i}.mlp.fc2", form)
  }

  /// Attention pooling of big_vision's.
  fileprivate static let flaxPool: [Rule] =
    [
      Rule("MAPHead_0/probe", "attn_pool.latent"),
      Rule(pool + "query/kernel", "attn_pool.q.weight", .toHeads),
      Rule(pool + "query/bias", "attn_pool.q.bias", .headBias),
      Rule(pool + "key/kernel", "attn_pool.kv.weight", .toHeads.rows(0, of: 2)),
      Rule(pool + "key/bias", "attn_pool.kv.bias", .headBias.rows(0, of: 2)),
      Rule(pool + "value/kernel", "attn_pool.kv.weight", .toHeads.rows(1, of: 2)),
      Rule(pool + "value/bias", "attn_pool.kv.bias", .headBias.rows(1, of: 2)),
    ]
    + dense(pool + "out", "attn_pool.proj", kernel: .fromHeads)
    + norm("MAPHead_0/LayerNorm_0", "attn_pool.norm")
    + dense("MAPHead_0/MlpBlock_0/Dense_0", "attn_pool.mlp.fc1")
    + dense("MAPHead_0/MlpBlock_0/Dense_1", "attn_pool.mlp.fc2")

  private static let pool = "MAPHead_0/MultiHeadDotProductAttention_0/"
}

extension Dialect {
  /// Google's files: those of the Vision Transformer's authors, and of big_vision with its blocks apart or stacked.
  static let googleViT: [Dialect] = [
    googleViT(
      "google-vit", mark: "Transformer/encoderblock_0/LayerNorm_2/scale",
      rules: .flaxBlock("encoderblock_{i}", attention: 1, norm: 2, mlp: 3)
        + [Rule("Transformer/posembed_input/pos_embedding", "pos_embed")]),
    googleViT(
      "google-big-vision", mark: "Transformer/encoderblock_0/LayerNorm_1/scale",
      rules: .flaxBlock("encoderblock_{i}", attention: 0, norm: 1, mlp: 0) + bigVision),
    googleViT(
      "google-big-vision-stacked", mark: "Transformer/encoderblock/LayerNorm_1/scale",
      rules: .flaxBlock("encoderblock", attention: 0, norm: 1, mlp: 0, \.stacked) + bigVision),
  ]

  private static let bigVision: [Rule] = .flaxPool + [Rule("pos_embedding", "pos_embed")]

  private static func googleViT(_ name: String, mark: NamePattern, rules: [Rule]) -> Dialect {
    Dialect(
      name: name, marks: ["embedding/kernel", mark],
      prefixes: ["", "opt/target/", "params/", "params/img/", "img/"],
      rules: rules + [
        Rule("cls", "cls_token"), Rule("embedding/kernel", "patch_embed.proj.weight", .convolution),
        Rule("embedding/bias", "patch_embed.proj.bias"),
      ] + .norm("Transformer/encoder_norm", "norm") + .dense("head", "head"),
      dropped: ["pre_logits/*", "params/t", "params/b", "params/t/*", "t/*", "opt/state/*"],
      isWrittenCanonically: true,
      facts: Facts(
        epsilon: 1e-6, activation: .geluTanh, normalization: .half, resampling: .bilinearHalfPixel))
  }
}
