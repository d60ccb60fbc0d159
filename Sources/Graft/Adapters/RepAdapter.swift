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
  public func plan(for shape: BackboneShape) throws -> AdapterPlan {
    try SettingCheck.narrow(bottleneck, "bottleneck", in: shape.parts)
    try SettingCheck.finite(scale, "scale")
    try dropout.requireProbability("dropout")
    let (settings, k) = (self, bottleneck)
    var plan = AdapterPlan()
    for part in shape.parts {
      let (name, width) = (part.tensorName(self.name), part.reads)
      try SettingCheck.require(
        groups >= 1 && k % groups == 0 && width % groups == 0, "groups", groups,
        "it must divide the bottleneck, \(k), and the backbone's width, \(width).")
      let inGroup = k / groups
      plan.declareLinear(
        "\(name).down", outputs: k, inputs: width, weight: .xavier(fanIn: width, fanOut: k),
        bias: .constant(0))
      plan.declareLinear(
        "\(name).up", outputs: width, inputs: inGroup, weight: .constant(0), bias: .constant(0))
      let dropout = dropout(part.id.block, of: shape.depth)
      plan.join(
        .before(part.id), macs: { tokens, _ in tokens.count * width * (k + inGroup) },
        folds: [Fold(into: part.first, changesBias: true) { try settings.fold(name, into: &$0, $1) }]
      ) { RepAdapterModule(name, settings, dropout: dropout, $0) }
    }
    return plan
  }

  /// `W' = W (I + s Wb Wa)`, `b' = b + s W (Wb ba + bb)`, through the bottleneck.
  private func fold(
    _ name: String, into layer: inout DenseLayer, _ trained: (String) throws -> [Double]
  ) throws {
    let (down, downBias) = (try trained("\(name).down.weight"), try trained("\(name).down.bias"))
    let (up, upBias) = (try trained("\(name).up.weight"), try trained("\(name).up.bias"))
    let inputs = layer.inputs
    try layer.change { weight, bias in
      for output in bias.indices {
        let row = output * inputs
        let (hidden, constant) = through(up, upBias, weight[row..<row + inputs])
        bias[output] += constant
        for (channel, factor) in hidden.enumerated() {
          bias[output] += factor * downBias[channel]
          let from = channel * inputs
          for column in 0..<inputs { weight[row + column] += factor * down[from + column] }
        }
      }
    }
  }

  /// A row w of the frozen weight times the adapter's second layer: `s w Wb` (k) and `s w bb`.
  private func through(_ up: [Double], _ bias: [Double], _ row: ArraySlice<Double>) -> ([Double], Double) {
    let part = bottleneck / groups
    var hidden = [Double](repeating: 0, count: bottleneck)
    var constant = 0.0
    for (channel, weight) in row.enumerated() {
      let factor = Double(scale) * weight
      let first = channel / (row.count / groups) * part
      for index in 0..<part { hidden[first + index] += factor * up[channel * part + index] }
      constant += factor * bias[channel]
    }
    return (hidden, constant)
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
