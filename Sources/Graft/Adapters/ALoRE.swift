import GraftOps

/// Aggregated low-rank experts (arXiv 2412.08341), before the attention and before the MLP of every block.
///
///     y = x + scale * (Delta x + c),   Delta = sum_i A_i kron (U_i V_i)
///
/// A (n, n, n), U (n, D/n, r), V (n, r, D/n). No activation: the whole adapter merges into the linear layer that
/// follows. The published 0.15 M on ViT-B/16 fits 148,992 = 24 (n^3 + 2 D r) with n = r = 4. **Reconstructed**: no official code
/// was found, so n, r, scale, bias, sharing of A, dropout and the initial values are settings of ours and not the
/// paper's word.
public struct ALoRE: Adapter {
  /// `alore`.
  public var name: String { "alore" }
  /// `alore-vtab`, reconstructed.
  public var presetName: String { "alore-vtab" }
  /// Names of the settings.
  public var settingNames: [String] {
    ["experts", "rank", "scale", "has_bias", "shares_a", "dropout"]
  }

  /// Number of experts, n; divides the backbone's width.
  public var experts: Int
  /// Rank of each expert, r.
  public var rank: Int
  /// Factor on what the adapter adds.
  public var scale: Float
  /// Whether the adapter has a bias c.
  public var hasBias: Bool
  /// Whether all places share one A.
  public var sharesA: Bool
  /// Dropout between the two low-rank factors.
  public var dropout: BlockRate

  /// Creates settings; see the type's note on provenance.
  public init(
    experts: Int = 4, rank: Int = 4, scale: Float = 1, hasBias: Bool = false, sharesA: Bool = false,
    dropout: BlockRate = 0.1
  ) {
    self.experts = experts
    self.rank = rank
    self.scale = scale
    self.hasBias = hasBias
    self.sharesA = sharesA
    self.dropout = dropout
  }

  /// Declares the factors.
  ///
  /// U starts at zero, so the model starts as the plain backbone; no other factor is zero, or every gradient
  /// would be.
  ///
  /// - Throws: ``GraftError`` when n does not divide the width or a setting is out of range.
  public func plan(for shape: BackboneShape) throws -> AdapterPlan {
    try SettingCheck.finite(scale, "scale")
    try dropout.requireProbability("dropout")
    try SettingCheck.narrow(rank, "rank", in: shape.parts)
    let (settings, n, r) = (self, experts, rank)
    var plan = AdapterPlan()
    let mixing = Initializer.xavier(fanIn: n, fanOut: n)
    if sharesA { plan.declare("alore.A", [n, n, n], mixing) }
    for part in shape.parts {
      let (name, width) = (part.tensorName(self.name), part.reads)
      try SettingCheck.require(
        (1...64).contains(n) && width % n == 0, "experts", n,
        "it must divide the backbone's width, \(width), and be at most 64.")
      if !sharesA { plan.declare("\(name).A", [n, n, n], mixing) }
      plan.declare("\(name).U", [n, width / n, r], .constant(0))
      plan.declare("\(name).V", [n, r, width / n], .xavier(fanIn: width / n, fanOut: r))
      if hasBias { plan.declare("\(name).bias", [width], .constant(0)) }
      let dropout = dropout(part.id.block, of: shape.depth)
      plan.join(
        .before(part.id), macs: { tokens, _ in tokens.count * (2 * n * width * r + n * n * n * r) },
        folds: [Fold(into: part.first, changesBias: hasBias) { try settings.fold(name, into: &$0, $1) }]
      ) { ALoREModule(name, settings, dropout: dropout, $0) }
    }
    return plan
  }

  /// `W' = W (I + s Delta)`, `b' = b + s W c`, in the blocked form that never makes a D x D matrix.
  private func fold(
    _ name: String, into layer: inout DenseLayer, _ trained: (String) throws -> [Double]
  ) throws {
    let (a, u, v) = (
      try trained(sharesA ? "alore.A" : "\(name).A"), try trained("\(name).U"), try trained("\(name).V")
    )
    let (inputs, outputs) = (layer.inputs, layer.outputs)
    if hasBias {
      let shift = try trained("\(name).bias")
      try layer.change { weight, bias in
        for output in 0..<outputs {
          let row = weight[output * inputs..<(output + 1) * inputs]
          bias[output] += Double(scale) * zip(row, shift).reduce(0) { $0 + $1.0 * $1.1 }
        }
      }
    }
    try layer.changeWeight {
      Kronecker.fold(
        a: a, u: u, v: v, scale: Double(scale), outputs: outputs, experts: experts, rank: rank, into: &$0)
    }
  }
}

/// One sum of Kronecker products in front of a frozen linear layer.
struct ALoREModule: SequentialModule {
  static var isTokenwise: Bool { true }

  private let a, u, v: Tensor
  private let bias: Tensor?
  private let scale, dropout: Float

  init(_ name: String, _ settings: ALoRE, dropout: Float, _ tensors: TensorLookup) {
    a = tensors[settings.sharesA ? "alore.A" : "\(name).A"]
    u = tensors["\(name).U"]
    v = tensors["\(name).V"]
    bias = settings.hasBias ? tensors["\(name).bias"] : nil
    scale = settings.scale
    self.dropout = dropout
  }

  func callAsFunction(_ tokens: Tokens, on tape: Tape) throws -> Tokens {
    tokens.with(
      try tape.kroneckerAdapter(
        tokens.values, a: a, u: u, v: v, bias: bias, scale: scale, dropout: dropout))
  }

  func callAsFunction(_ tokens: Tokens, behind norm: FrozenNorm, on tape: Tape) throws -> Tokens? {
    try tape.kroneckerAdapter(
      tokens.values, behind: norm.norm, a: a, u: u,
      v: v, bias: bias, scale: scale, dropout: dropout
    ).map(tokens.with)
  }
}
