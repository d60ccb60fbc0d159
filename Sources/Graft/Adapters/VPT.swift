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

  /// Tokens attend to one another, and may be more.
  public var needs: Set<Need> { [.attention, .freeTokenCount] }

  /// Creates settings; the defaults are the paper's.
  public init(_ variant: Variant, prompts: Int = 100, dropout: BlockRate = 0.1) {
    self.variant = variant
    self.prompts = prompts
    self.dropout = dropout
  }

  /// Declares the prompts.
  ///
  /// - Throws: ``GraftError`` when a setting is out of range.
  public func plan(for shape: BackboneShape) throws -> AdapterPlan {
    try SettingCheck.require(
      (1...1000).contains(prompts), "prompts", prompts, "it must be at least 1 and at most 1000.")
    try dropout.requireProbability("dropout")
    let width = shape.start.width
    let patch = shape.stem.patchSize
    var plan = AdapterPlan()
    for block in variant == .deep ? 0..<shape.depth : 0..<1 {
      let name = "blocks.\(block).vpt.prompts"
      plan.declare(name, [prompts, width], .xavier(fanIn: 3 * patch * patch, fanOut: width))
      let dropout = dropout(block, of: shape.depth)
      plan.join(.beforeBlock(block), macs: { _, _ in 0 }, change: .prompts(prompts)) {
        PromptModule(prompts: $0[name], dropout: dropout)
      }
    }
    return plan
  }
}

/// Puts prompts behind the backbone's own tokens, in place of those that stand there.
struct PromptModule: SequentialModule {
  static var isTokenwise: Bool { false }

  /// (p, D).
  let prompts: Tensor
  let dropout: Float

  func callAsFunction(_ tokens: Tokens, on tape: Tape) throws -> Tokens {
    let (x, layout) = (tokens.values, tokens.layout)
    let count = prompts.shape[0]
    let own = layout.prefix == 0 ? nil : try tape.sliceTokens(x, from: 0, count: layout.prefix)
    let cells = try tape.sliceTokens(x, from: layout.front, count: layout.grid.count)
    var front = try tape.joinFront(own, prompts)
    if dropout > 0, tape.isTraining {
      // Each image drops elements of its own, and so needs prompts of its own.
      let spread = own == nil ? try tape.concatTokens(prompts, cells) : front
      let trained = try tape.sliceTokens(spread, from: layout.prefix, count: count)
      front = try tape.joinFront(own, tape.dropout(trained, probability: dropout))
    }
    return Tokens(try tape.concatTokens(front, cells), layout.changed(by: .prompts(count)))
  }
}
