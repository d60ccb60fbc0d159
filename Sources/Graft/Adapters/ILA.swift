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

  /// Declares the modules.
  ///
  /// - Throws: ``GraftError`` when the patch grid is too small to shrink or a setting is out of range.
  public func plan(for shape: VisionTransformerShape) throws -> AdapterPlan {
    let shrinking = locations ?? [shape.depth / 3 - 1, 2 * shape.depth / 3 - 1]
    try check(shape, shrinking)
    var plan = AdapterPlan()
    plan.trainsClassToken = trainsClassToken
    // The official code draws every linear layer of the model, the head included, this way.
    plan.head = .xavier

    let interLayer = (0..<shape.depth).filter { variant == .ilaPlus || shrinking.contains($0) }
    for block in interLayer { declareModule(block, shrinks: shrinking.contains(block), shape.width, &plan) }
    if variant == .ilaPlusPlus {
      for block in 0..<shape.depth {
        for branch in ["attn", "mlp"] {
          BottleneckModule.declare(
            "blocks.\(block).adapter_\(branch)", width: shape.width, bottleneck: bottleneck, in: &plan)
        }
        plan.costs += [Site.besideAttention(block: block), .besideMLP(block: block)].map { site in
          let width = shape.width
          let bottleneck = bottleneck
          return .init(site: site) { before, _ in 2 * before * width * bottleneck }
        }
      }
    }
    let settings = self
    let depth = shape.depth
    plan.join = { tensors, sites in
      for block in interLayer {
        let module = try ILAModule(
          "blocks.\(block).ila", settings, shrinks: shrinking.contains(block),
          dropout: settings.dropout(block, of: depth), tensors)
        try sites.join(module, at: .afterBlock(block), of: settings.name)
      }
      guard settings.variant == .ilaPlusPlus else { return }
      for block in 0..<depth {
        let dropout = settings.dropout(block, of: depth)
        sites.join(
          BottleneckModule("blocks.\(block).adapter_attn", dropout: dropout, tensors),
          at: .besideAttention(block: block))
        sites.join(
          BottleneckModule("blocks.\(block).adapter_mlp", dropout: dropout, tensors),
          at: .besideMLP(block: block))
      }
    }
    return plan
  }

  private func check(_ shape: VisionTransformerShape, _ shrinking: [Int]) throws {
    try SettingCheck.narrow(bottleneck, "bottleneck", in: shape)
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
    let left = shape.grid - shrinking.count * (kernel - 1)
    guard left >= 1 else {
      throw GraftError.adapterDoesNotFit(
        adapter: name,
        reason: """
          the patch grid of \(shape.grid)x\(shape.grid) is too small to lose \(kernel - 1) cells \
          \(shrinking.count) times; use larger images.
          """)
    }
  }

  private func declareModule(_ block: Int, shrinks: Bool, _ width: Int, _ plan: inout AdapterPlan) {
    let name = "blocks.\(block).ila"
    let k = bottleneck
    let taps = kernel * kernel
    let tiny = Initializer.normal(mean: 0, deviation: 1e-6)
    let fanIn = { (count: Int) in Initializer.uniform(bound: 1 / Float(count).squareRoot()) }
    plan.declareLinear(
      "\(name).down", outputs: k, inputs: width, weight: .xavier(fanIn: width, fanOut: k), bias: tiny)
    plan.declareBatchNorm("\(name).norm1", channels: k)
    plan.declareLinear(
      "\(name).conv", outputs: k, inputs: 1, kernel: [kernel, kernel],
      weight: .xavier(fanIn: taps, fanOut: k * taps), bias: fanIn(taps))
    plan.declareBatchNorm("\(name).norm2", channels: k)
    for part in ["pointwise", "cls"] {
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
    plan.costs.append(
      .init(site: .afterBlock(block), border: shrinks ? kernel / 2 : 0, needsGrid: true) { before, after in
        let patches = after - 1
        let bottleneckPath = before * width * k + k * k + patches * (taps * k + k * k) + after * k * width
        return bottleneckPath + (shrinks ? patches * taps * width : 0)
      })
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
