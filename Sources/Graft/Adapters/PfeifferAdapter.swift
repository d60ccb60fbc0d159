import GraftOps

/// The adapter baseline of the vision papers: a bottleneck behind the MLP alone (Pfeiffer's place).
///
///     x = x + f + Wu QuickGELU(Wd f + bd) + bu,    f = MLP(LN2(x))
///
/// 156,768 parameters on ViT-B/16 at width 8, the 0.16 M of the tables. Activation, width and initial values follow
/// NOAH (arXiv 2206.04673, ZhangYuanhan-AI/NOAH): both weights Xavier, biases N(0, 1e-6), so the model does **not**
/// start as the plain backbone. (VPT's repository zeroes both weights, and then only the upper bias ever learns.)
public struct PfeifferAdapter: Adapter {
  /// `adapter`.
  public var name: String { "adapter" }
  /// False: both weights are Xavier.
  public var startsAsBackbone: Bool { false }
  /// Names of the settings.
  public var settingNames: [String] { ["bottleneck", "dropout"] }

  /// Channels of the bottleneck.
  public var bottleneck: Int
  /// Dropout on the bottleneck; none by the source's default.
  public var dropout: BlockRate

  /// Creates settings; the defaults are NOAH's.
  public init(bottleneck: Int = 8, dropout: BlockRate = 0) {
    self.bottleneck = bottleneck
    self.dropout = dropout
  }

  /// Declares one bottleneck a block.
  ///
  /// - Throws: ``GraftError`` when a setting is out of range.
  public func plan(for shape: BackboneShape) throws -> AdapterPlan {
    let parts = shape.parts.filter(\.isChannelMLP)
    try SettingCheck.narrow(bottleneck, "bottleneck", in: parts)
    try dropout.requireProbability("dropout")
    var plan = AdapterPlan()
    for part in parts {
      let (name, width) = ("blocks.\(part.id.block).adapter", part.reads)
      let dropout = dropout(part.id.block, of: shape.depth)
      BottleneckModule.declare(name, width: width, bottleneck: bottleneck, in: &plan)
      plan.join(.after(part.id), macs: BottleneckModule.macs(width: width, bottleneck: bottleneck)) {
        BottleneckModule(name, activation: .quickGELU, hiddenDropout: dropout, $0)
      }
    }
    return plan
  }
}
