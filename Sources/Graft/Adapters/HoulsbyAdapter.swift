import GraftOps

/// Houlsby's adapter (arXiv 1902.00751): a bottleneck on what each branch adds to the residual stream.
///
///     h = h + Wu GELU(Wd h + bd) + bu        behind the attention's projection, and behind the MLP
///
/// 313,536 parameters on ViT-B/16 at width 8. The official code (google-research/adapter-bert) draws both weights from
/// N(0, 1e-3); here Wd is Xavier and Wu exactly zero, so that the model starts as the plain backbone. The exact GELU
/// takes the place of the tanh approximation. Width 8 is that of the vision baselines; the paper has 8 to 256.
public struct HoulsbyAdapter: Adapter {
  /// `houlsby`.
  public var name: String { "houlsby" }
  /// Names of the settings.
  public var settingNames: [String] { ["bottleneck", "dropout"] }

  /// Channels of the bottleneck.
  public var bottleneck: Int
  /// Dropout on the bottleneck; none in the official code.
  public var dropout: BlockRate

  /// Creates settings.
  public init(bottleneck: Int = 8, dropout: BlockRate = 0) {
    self.bottleneck = bottleneck
    self.dropout = dropout
  }

  /// Declares two bottlenecks a block.
  ///
  /// - Throws: ``GraftError`` when a setting is out of range.
  public func plan(for shape: BackboneShape) throws -> AdapterPlan {
    try SettingCheck.narrow(bottleneck, "bottleneck", in: shape.parts)
    try dropout.requireProbability("dropout")
    var plan = AdapterPlan()
    for part in shape.parts {
      let (name, width) = (part.tensorName(self.name), part.reads)
      let dropout = dropout(part.id.block, of: shape.depth)
      BottleneckModule.declare(
        name, width: width, bottleneck: bottleneck,
        start: .zeroUp(down: .xavier(fanIn: width, fanOut: bottleneck)), in: &plan)
      plan.join(.after(part.id), macs: BottleneckModule.macs(width: width, bottleneck: bottleneck)) {
        BottleneckModule(name, hiddenDropout: dropout, $0)
      }
    }
    return plan
  }
}
