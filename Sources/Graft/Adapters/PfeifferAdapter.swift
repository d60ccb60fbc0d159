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
  public func plan(for shape: VisionTransformerShape) throws -> AdapterPlan {
    try SettingCheck.narrow(bottleneck, "bottleneck", in: shape)
    try dropout.requireProbability("dropout")
    let (settings, depth) = (self, shape.depth)
    var plan = AdapterPlan()
    for block in 0..<depth {
      let site = Site.afterMLP(block: block)
      BottleneckModule.declare(
        "blocks.\(block).adapter", width: shape.width, bottleneck: bottleneck, in: &plan)
      plan.costs.append(BottleneckModule.cost(at: site, width: shape.width, bottleneck: bottleneck))
    }
    plan.join = { tensors, sites in
      for block in 0..<depth {
        let module = BottleneckModule(
          "blocks.\(block).adapter", activation: .quickGELU,
          hiddenDropout: settings.dropout(block, of: depth), tensors)
        try sites.join(module, at: .afterMLP(block: block), of: settings.name)
      }
    }
    return plan
  }
}
