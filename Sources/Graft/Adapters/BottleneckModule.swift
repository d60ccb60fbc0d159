import GraftOps

/// A bottleneck of two linear layers, what most adapters are made of.
///
///     m(x) = Drop_o(s (Drop_h(f(x Wd^T + bd)) Wu^T + bu)),    Wd (k, D), Wu (D, k)
///
/// In sequence it gives `x + m(x)`, beside a branch it adds `m(x)` to the residual stream.
struct BottleneckModule {
  private let down, up: TrainableLinear
  private let activation: Activation
  private let scale, hiddenDropout, dropout: Float

  /// - Parameters:
  ///   - name: the tensors' prefix.
  ///   - activation: f.
  ///   - scale: s.
  ///   - hiddenDropout: probability of Drop_h, on the bottleneck.
  ///   - dropout: probability of Drop_o, on what the module adds.
  init(
    _ name: String, activation: Activation = .gelu, scale: Float = 1, hiddenDropout: Float = 0,
    dropout: Float = 0, _ tensors: TensorLookup
  ) {
    down = tensors.linear("\(name).down")
    up = tensors.linear("\(name).up")
    self.activation = activation
    self.scale = scale
    self.hiddenDropout = hiddenDropout
    self.dropout = dropout
  }

  /// How the two layers start.
  enum Start {
    /// Both weights Xavier uniform, biases N(0, 1e-6): the model does not start as the plain backbone.
    case xavier
    /// Up and both biases zero: the model starts as the plain backbone. Down must not be zero as well, or no weight
    /// would ever receive a gradient.
    case zeroUp(down: Initializer)
  }

  static func declare(
    _ name: String, width: Int, bottleneck: Int, start: Start = .xavier, in plan: inout AdapterPlan
  ) {
    let down: Initializer
    let up: Initializer
    let bias: Initializer
    switch start {
    case .xavier:
      down = .xavier(fanIn: width, fanOut: bottleneck)
      up = down
      bias = .normal(mean: 0, deviation: 1e-6)
    case .zeroUp(let initializer): (down, up, bias) = (initializer, .constant(0), .constant(0))
    }
    plan.declareLinear("\(name).down", outputs: bottleneck, inputs: width, weight: down, bias: bias)
    plan.declareLinear("\(name).up", outputs: width, inputs: bottleneck, weight: up, bias: bias)
  }

  /// Multiply-accumulates of an image.
  static func macs(width: Int, bottleneck: Int) -> @Sendable (TokenLayout, TokenLayout) -> Int {
    { tokens, _ in 2 * tokens.count * width * bottleneck }
  }

  private func add(to sum: Tensor, reading input: LinearInput, on tape: Tape) throws -> Tensor {
    let hidden = try down(input, activation: activation, dropout: hiddenDropout, on: tape)
    return try up(hidden, scaledBy: scale, dropout: dropout, addedTo: sum, on: tape)
  }
}

extension BottleneckModule: ParallelModule {
  static var isTokenwise: Bool { true }

  func callAsFunction(_ input: Reading, addedTo sum: Tensor, on tape: Tape) throws -> Tensor {
    try add(to: sum, reading: input.rows, on: tape)
  }
}

extension BottleneckModule: SequentialModule {
  func callAsFunction(_ tokens: Tokens, on tape: Tape) throws -> Tokens {
    tokens.with(try add(to: tokens.values, reading: .rows(tokens.values), on: tape))
  }
}
