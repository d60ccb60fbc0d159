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
  public func plan(for shape: VisionTransformerShape) throws -> AdapterPlan {
    try SettingCheck.narrow(bottleneck, "bottleneck", in: shape)
    try SettingCheck.finite(scale, "scale")
    try dropout.requireProbability("dropout")
    let (settings, depth) = (self, shape.depth)
    var plan = AdapterPlan()
    for block in 0..<depth {
      BottleneckModule.declare(
        "blocks.\(block).adaptformer", width: shape.width, bottleneck: bottleneck,
        start: .zeroUp(down: .kaiming(fanIn: shape.width)), in: &plan)
      plan.costs.append(
        BottleneckModule.cost(at: .aroundMLP(block: block), width: shape.width, bottleneck: bottleneck))
    }
    plan.join = { tensors, sites in
      for block in 0..<depth {
        let module = BottleneckModule(
          "blocks.\(block).adaptformer", activation: .relu, scale: settings.scale,
          hiddenDropout: settings.dropout(block, of: depth), tensors)
        sites.join(module, at: .aroundMLP(block: block))
      }
    }
    return plan
  }
}
