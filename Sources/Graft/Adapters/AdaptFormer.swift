import GraftOps

/// AdaptFormer (arXiv 2205.13535): a bottleneck around the MLP and its norm.
///
///     out = x + MLP(LN2(x)) + s (Wu Drop(ReLU(Wd x + bd)) + bu)
///
/// It reads the stream before the norm and has no norm of its own. 156,768 parameters on ViT-B/16 at width 8, the
/// default here and the benchmarks' 0.16 M; 1,189,632 at width 64, the paper's. Wd starts Kaiming uniform with a = sqrt 5,
/// all else zero, as in the official code (ShoufaChen/AdaptFormer).
public struct AdaptFormer: Adapter {
  /// `adaptformer`.
  public var name: String { "adaptformer" }
  /// Names of the settings.
  public var settingNames: [String] { ["bottleneck", "scale", "dropout"] }

  /// Channels of the bottleneck.
  public var bottleneck: Int
  /// Factor on what the adapter adds.
  public var scale: Float
  /// Dropout on the bottleneck.
  public var dropout: BlockRate

  /// Creates settings; all but the width are the paper's defaults.
  public init(bottleneck: Int = 8, scale: Float = 0.1, dropout: BlockRate = 0.1) {
    self.bottleneck = bottleneck
    self.scale = scale
    self.dropout = dropout
  }

  /// Declares one bottleneck a block.
  ///
  /// - Throws: ``GraftError`` when a setting is out of range.
  public func plan(for shape: BackboneShape) throws -> AdapterPlan {
    let parts = shape.parts.filter(\.isChannelMLP)
    try SettingCheck.narrow(bottleneck, "bottleneck", in: parts)
    try SettingCheck.finite(scale, "scale")
    try dropout.requireProbability("dropout")
    let scale = scale
    var plan = AdapterPlan()
    for part in parts {
      let (name, width) = ("blocks.\(part.id.block).adaptformer", part.reads)
      let dropout = dropout(part.id.block, of: shape.depth)
      BottleneckModule.declare(
        name, width: width, bottleneck: bottleneck, start: .zeroUp(down: .kaiming(fanIn: width)), in: &plan)
      plan.join(.around(part.id), macs: BottleneckModule.macs(width: width, bottleneck: bottleneck)) {
        BottleneckModule(name, activation: .relu, scale: scale, hiddenDropout: dropout, $0)
      }
    }
    return plan
  }
}
