import GraftOps

/// Visual prompt tuning (arXiv 2203.12119): trainable tokens between the class token and the patches.
///
///     shallow:  [cls ; P ; patches] enters the first block; P's outputs run on through all others
///     deep:     and before every other block new prompts take the place of those outputs
///
/// P (p, D), uniform within `sqrt(6 / (3 patch^2 + D))`, dropout on the prompts of each image. With p = 100 on ViT-B/16:
/// 76,800 parameters shallow, 921,600 deep; every block sees 297 tokens in place of 197. Source: the official code
/// (KMnP/vpt), where p is chosen for each task.
public struct VPT: Adapter {
  /// Where prompts enter.
  public enum Variant: String, Codable, Sendable, CaseIterable {
    /// Before the first block.
    case shallow = "vpt-shallow"
    /// Before every block.
    case deep = "vpt-deep"
  }

  /// `vpt-shallow` or `vpt-deep`.
  public var name: String { variant.rawValue }
  /// `vpt`.
  public var presetName: String { "vpt" }
  /// False: attention sees the prompts at once.
  public var startsAsBackbone: Bool { false }
  /// Names of the settings.
  public var settingNames: [String] { ["prompts", "dropout"] }

  /// Where prompts enter.
  public var variant: Variant
  /// Number of prompts in the sequence, p.
  public var prompts: Int
  /// Dropout on the prompts.
  public var dropout: BlockRate

  /// Creates settings; the defaults are the paper's.
  public init(_ variant: Variant, prompts: Int = 100, dropout: BlockRate = 0.1) {
    self.variant = variant
    self.prompts = prompts
    self.dropout = dropout
  }

  /// Declares the prompts.
  ///
  /// - Throws: ``GraftError`` when a setting is out of range.
  public func plan(for shape: VisionTransformerShape) throws -> AdapterPlan {
    try SettingCheck.require(
      (1...1000).contains(prompts), "prompts", prompts, "it must be at least 1 and at most 1000.")
    try dropout.requireProbability("dropout")
    let (settings, depth) = (self, shape.depth)
    let blocks = variant == .deep ? 0..<depth : 0..<1
    let start = Initializer.xavier(fanIn: 3 * shape.patchSize * shape.patchSize, fanOut: shape.width)
    var plan = AdapterPlan()
    for block in blocks { plan.declare(Self.name(block), [prompts, shape.width], start) }
    plan.costs.append(.init(site: .beforeBlock(0), prompts: prompts) { _, _ in 0 })
    plan.join = { tensors, sites in
      for block in blocks {
        let module = PromptModule(
          prompts: tensors[Self.name(block)], dropout: settings.dropout(block, of: depth))
        try sites.join(module, at: .beforeBlock(block), of: settings.name)
      }
    }
    return plan
  }

  private static func name(_ block: Int) -> String { "blocks.\(block).vpt.prompts" }
}

/// Puts prompts behind the class token, in place of those that stand there.
struct PromptModule: SequentialModule {
  static var isTokenwise: Bool { false }

  /// (p, D).
  let prompts: Tensor
  let dropout: Float

  func callAsFunction(_ tokens: Tokens, on tape: Tape) throws -> Tokens {
    let x = tokens.values
    let count = prompts.shape[0]
    let cls = try tape.sliceTokens(x, from: 0, count: 1)
    let patches = try tape.sliceTokens(x, from: 1 + tokens.prompts, count: tokens.rows * tokens.columns)
    var front = try tape.concatTokens(cls, prompts)
    if dropout > 0, tape.isTraining {
      // Each image drops elements of its own.
      let own = try tape.sliceTokens(front, from: 1, count: count)
      front = try tape.concatTokens(cls, tape.dropout(own, probability: dropout))
    }
    return Tokens(
      try tape.concatTokens(front, patches), rows: tokens.rows, columns: tokens.columns, prompts: count)
  }
}
