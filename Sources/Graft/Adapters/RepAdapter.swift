import GraftOps

/// RepAdapter (arXiv 2302.08106): a linear bottleneck before the attention and before the MLP of every block.
///
///     y = u + s (Wb Drop(Wa u + ba) + bb)
///
/// Wa (k, D) is dense, Wb (D, k / g) works in g groups: output group i reads hidden group i alone. No activation: the
/// whole adapter merges into the linear layer that follows. 239,808 parameters on ViT-B/16. Wa starts Xavier uniform, all
/// else zero, as in the official code (luogen1996/RepAdapter), where s is chosen for each task.
public struct RepAdapter: Adapter {
  /// `repadapter`.
  public var name: String { "repadapter" }
  /// Names of the settings.
  public var settingNames: [String] { ["bottleneck", "groups", "scale", "dropout"] }

  /// Channels of the bottleneck, k.
  public var bottleneck: Int
  /// Groups of the second layer, g; divides the bottleneck and the backbone's width.
  public var groups: Int
  /// Factor on what the adapter adds, s.
  public var scale: Float
  /// Dropout between the layers.
  public var dropout: BlockRate

  /// Creates settings; the defaults are the official code's.
  public init(bottleneck: Int = 8, groups: Int = 2, scale: Float = 1, dropout: BlockRate = 0.1) {
    self.bottleneck = bottleneck
    self.groups = groups
    self.scale = scale
    self.dropout = dropout
  }

  /// Declares two modules a block.
  ///
  /// - Throws: ``GraftError`` when a setting is out of range.
  public func plan(for shape: VisionTransformerShape) throws -> AdapterPlan {
    try SettingCheck.narrow(bottleneck, "bottleneck", in: shape)
    try SettingCheck.finite(scale, "scale")
    try dropout.requireProbability("dropout")
    try SettingCheck.require(
      groups >= 1 && bottleneck % groups == 0 && shape.width % groups == 0, "groups", groups,
      "it must divide the bottleneck, \(bottleneck), and the backbone's width, \(shape.width).")
    let (settings, depth, width) = (self, shape.depth, shape.width)
    let (k, part) = (bottleneck, bottleneck / groups)
    var plan = AdapterPlan()
    for block in 0..<depth {
      for branch in Branch.allCases {
        let name = Self.name(block, branch)
        plan.declareLinear(
          "\(name).down", outputs: k, inputs: width, weight: .xavier(fanIn: width, fanOut: k),
          bias: .constant(0))
        plan.declareLinear(
          "\(name).up", outputs: width, inputs: part, weight: .constant(0), bias: .constant(0))
        plan.costs.append(
          .init(site: branch.before(block)) { tokens, _ in tokens * width * (k + part) })
      }
    }
    plan.join = { tensors, sites in
      for block in 0..<depth {
        for branch in Branch.allCases {
          let module = RepAdapterModule(
            Self.name(block, branch), settings, dropout: settings.dropout(block, of: depth), tensors)
          try sites.join(module, at: branch.before(block), of: settings.name)
        }
      }
    }
    return plan
  }

  static func name(_ block: Int, _ branch: Branch) -> String {
    "blocks.\(block).repadapter_\(branch.rawValue)"
  }
}

/// One linear bottleneck in front of a frozen linear layer.
struct RepAdapterModule: SequentialModule {
  static var isTokenwise: Bool { true }

  private let down, up: TrainableLinear
  private let groups: Int
  private let scale, dropout: Float

  init(_ name: String, _ settings: RepAdapter, dropout: Float, _ tensors: TensorLookup) {
    down = tensors.linear("\(name).down")
    up = tensors.linear("\(name).up")
    groups = settings.groups
    scale = settings.scale
    self.dropout = dropout
  }

  func callAsFunction(_ tokens: Tokens, on tape: Tape) throws -> Tokens {
    let hidden = try tape.dropout(down(tokens.values, on: tape), probability: dropout)
    let output = try up(hidden, groups: groups, scaledBy: scale, on: tape)
    return tokens.with(try tape.add(tokens.values, output))
  }
}
