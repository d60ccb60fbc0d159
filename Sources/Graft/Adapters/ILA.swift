/// The inter-layer adapter of arXiv 2409.11051 in its three variants.
///
/// A down-sampling module stands after each third of the blocks; it shrinks the patch grid by one cell on every side,
/// so that later blocks see fewer tokens. Counts on ViT-B/16: ILA 40,496; ILA+ 173,856; ILA++ 354,032. Layout, sizes and
/// initial values follow the official code (arkel23/DownSamplingInterLayerAdapter); `average` is Graft's own addition.
public struct ILA: Adapter {
  /// Which modules join beside the two that shrink the grid.
  public enum Variant: String, Codable, Sendable, CaseIterable {
    /// The two down-sampling modules only.
    case ila
    /// And a module that keeps the grid after every other block.
    case ilaPlus = "ila+"
    /// And bottleneck adapters beside attention and MLP of every block.
    case ilaPlusPlus = "ila++"
  }

  /// How the depth-wise kernel of the residual branch (RSDS) starts.
  public enum ResidualInitializer: String, Codable, Sendable, CaseIterable {
    /// Every tap N(1, 0.001): the paper's default. Each output patch starts as the sum of its nine neighbours.
    case nearOne = "near-one"
    /// Every tap 1.
    case ones
    /// Every tap 1/9: an average. Not in the paper.
    case average
    /// Xavier uniform.
    case xavier
    /// A fixed 3x3 average that is not trained.
    case pooling
  }

  /// `ila`, `ila+` or `ila++`.
  public var name: String { variant.rawValue }
  /// `ila`.
  public var presetName: String { "ila" }
  /// 1e-2: batch normalisation takes larger steps.
  public var quickLearningRate: Double { 1e-2 }
  /// False: the up-projection does not start at zero, and RSDS is no identity.
  public var startsAsBackbone: Bool { false }
  /// Names of the settings.
  public var settingNames: [String] {
    ["bottleneck", "kernel", "dropout", "trains_class_token", "residual", "locations"]
  }

  /// Which modules join.
  public var variant: Variant
  /// Channels of the bottleneck.
  public var bottleneck: Int
  /// Side of the depth-wise kernel; odd.
  public var kernel: Int
  /// Dropout on what a module adds.
  public var dropout: BlockRate
  /// Whether the class token is trained.
  ///
  /// Then gradients run through all blocks; frozen, those below the first module leave no record.
  public var trainsClassToken: Bool
  /// How the residual branch starts.
  public var residual: ResidualInitializer
  /// Blocks after which the grid shrinks, from 0; by default after each third.
  public var locations: [Int]?

  /// Creates settings; the defaults are the paper's.
  public init(
    _ variant: Variant = .ila, bottleneck: Int = 8, kernel: Int = 3, dropout: BlockRate = 0.1,
    trainsClassToken: Bool = true, residual: ResidualInitializer = .nearOne, locations: [Int]? = nil
  ) {
    self.variant = variant
    self.bottleneck = bottleneck
    self.kernel = kernel
    self.dropout = dropout
    self.trainsClassToken = trainsClassToken
    self.residual = residual
    self.locations = locations
  }

  /// Cells have neighbours, and may be fewer.
  public var needs: Set<Need> { [.grid, .freeTokenCount] }

  /// Declares the modules.
  ///
  /// - Throws: ``GraftError`` when the patch grid is too small to shrink or a setting is out of range.
  public func plan(for shape: BackboneShape) throws -> AdapterPlan {
    let shrinking = locations ?? [shape.depth / 3 - 1, 2 * shape.depth / 3 - 1]
    try check(shape, shrinking)
    var plan = AdapterPlan()
    plan.trainsClassToken = trainsClassToken
    // The official code draws every linear layer of the model, the head included, this way.
    plan.head = .xavier
    for block in 0..<shape.depth where variant == .ilaPlus || shrinking.contains(block) {
      joinModule(block, shrinks: shrinking.contains(block), shape, &plan)
    }
    guard variant == .ilaPlusPlus else { return plan }
    for part in shape.parts {
      let (name, width) = (part.tensorName("adapter"), part.reads)
      let dropout = dropout(part.id.block, of: shape.depth)
      BottleneckModule.declare(name, width: width, bottleneck: bottleneck, in: &plan)
      plan.join(.beside(part.id), macs: BottleneckModule.macs(width: width, bottleneck: bottleneck)) {
        BottleneckModule(name, dropout: dropout, $0)
      }
    }
    return plan
  }

  private func check(_ shape: BackboneShape, _ shrinking: [Int]) throws {
    try SettingCheck.narrow(bottleneck, "bottleneck", in: shape.parts)
    try SettingCheck.require(
      (1...63).contains(kernel) && kernel % 2 == 1, "kernel", kernel,
      "it must be odd, at least 1 and at most 63.")
    try dropout.requireProbability("dropout")
    guard shrinking.allSatisfy({ (0..<shape.depth).contains($0) }), Set(shrinking).count == shrinking.count
    else {
      throw GraftError.adapterDoesNotFit(
        adapter: name,
        reason: "it shrinks the grid after blocks \(shrinking), but there are \(shape.depth) blocks.")
    }
    let grid = shape.start.grid
    guard min(grid.rows, grid.columns) - shrinking.count * (kernel - 1) >= 1 else {
      throw GraftError.adapterDoesNotFit(
        adapter: name,
        reason: """
          the patch grid of \(grid) is too small to lose \(kernel - 1) cells \(shrinking.count) times; use larger images.
          """)
    }
  }

  private func joinModule(_ block: Int, shrinks: Bool, _ shape: BackboneShape, _ plan: inout AdapterPlan) {
    let (name, width) = ("blocks.\(block).ila", shape.start.width)
    let (k, taps) = (bottleneck, kernel * kernel)
    let hasFront = shape.start.prefix > 0
    let tiny = Initializer.normal(mean: 0, deviation: 1e-6)
    let fanIn = { (count: Int) in Initializer.uniform(bound: 1 / Float(count).squareRoot()) }
    plan.declareLinear(
      "\(name).down", outputs: k, inputs: width, weight: .xavier(fanIn: width, fanOut: k), bias: tiny)
    plan.declareBatchNorm("\(name).norm1", channels: k)
    plan.declareLinear(
      "\(name).conv", outputs: k, inputs: 1, kernel: [kernel, kernel],
      weight: .xavier(fanIn: taps, fanOut: k * taps), bias: fanIn(taps))
    plan.declareBatchNorm("\(name).norm2", channels: k)
    for part in hasFront ? ["pointwise", "cls"] : ["pointwise"] {
      plan.declareLinear(
        "\(name).\(part)", outputs: k, inputs: k, kernel: [1, 1], weight: .xavier(fanIn: k, fanOut: k),
        bias: fanIn(k))
    }
    plan.declareBatchNorm("\(name).norm3", channels: k)
    plan.declareLinear(
      "\(name).up", outputs: width, inputs: k, weight: .xavier(fanIn: k, fanOut: width), bias: tiny)
    if shrinks, residual != .pooling {
      plan.declare("\(name).rsds.weight", [width, 1, kernel, kernel], residualInitializer(width, taps))
    }
    let (settings, dropout) = (self, dropout(block, of: shape.depth))
    plan.join(
      .afterBlock(block),
      macs: { before, after in
        let cells = after.grid.count
        let bottleneckPath =
          before.count * width * k + before.front * k * k + cells * (taps * k + k * k) + after.count * k
          * width
        return bottleneckPath + (shrinks ? cells * taps * width : 0)
      }, change: shrinks ? .cut(kernel / 2) : .none
    ) { try ILAModule(name, settings, shrinks: shrinks, hasFront: hasFront, dropout: dropout, $0) }
  }

  private func residualInitializer(_ width: Int, _ taps: Int) -> Initializer {
    switch residual {
    case .nearOne: .normal(mean: 1, deviation: 0.001)
    case .ones: .constant(1)
    case .average, .pooling: .constant(1 / Float(taps))
    case .xavier: .xavier(fanIn: taps, fanOut: width * taps)
    }
  }
}
