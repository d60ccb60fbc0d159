import GraftOps

/// A classification head as a plan declares it: after which block it reads the class token, and through what.
///
///     logits = W h + b                              linear
///     logits = W2 GELU(W1 h + b1) + b2              with a hidden layer
///
/// where `h` is the class token under a norm: the backbone's own, or one of the head's that starts as a copy of it.
struct HeadPlan: Sendable, Hashable {
  /// What its tensors' names start with.
  let name: String
  /// Blocks below it.
  let blocks: Int
  /// Whether it has a norm of its own, which is trained.
  let hasNorm: Bool
  /// Channels of the hidden layer; `nil` makes it linear.
  let hidden: Int?

  /// The head behind the last block: linear, under the backbone's norm.
  static func last(depth: Int) -> HeadPlan {
    HeadPlan(name: "head", blocks: depth, hasNorm: false, hidden: nil)
  }

  /// A head below the last block, with its own norm.
  static func exit(after blocks: Int, hidden: Int?) -> HeadPlan {
    HeadPlan(name: "exits.\(blocks)", blocks: blocks, hasNorm: true, hidden: hidden)
  }

  /// Declares the head's tensors.
  func declare(in plan: inout AdapterPlan, width: Int, classes: Int) {
    let start = plan.head
    func linear(_ name: String, _ inputs: Int, _ outputs: Int) {
      let (weight, bias): (Initializer, Initializer) =
        switch start {
        case .truncatedNormal: (.truncatedNormal(deviation: 0.02), .constant(0))
        case .xavier: (.xavier(fanIn: inputs, fanOut: outputs), .normal(mean: 0, deviation: 1e-6))
        }
      plan.declareLinear(name, outputs: outputs, inputs: inputs, weight: weight, bias: bias)
    }
    if hasNorm {
      plan.declare("\(name).norm.weight", [width], .copied(from: "norm.weight"))
      plan.declare("\(name).norm.bias", [width], .copied(from: "norm.bias"))
    }
    if let hidden { linear("\(name).hidden", width, hidden) }
    linear(name, hidden ?? width, classes)
  }

  /// Scalars that the head trains.
  func parameterCount(width: Int, classes: Int) -> Int {
    let inputs = hidden ?? width
    return (hasNorm ? 2 * width : 0) + (hidden.map { (width + 1) * $0 } ?? 0) + (inputs + 1) * classes
  }
}

/// A classification head on the device.
struct ClassificationHead {
  /// Blocks below it.
  let blocks: Int
  private let norm: TrainableNorm?
  private let hidden: TrainableLinear?
  private let output: TrainableLinear

  init(_ plan: HeadPlan, epsilon: Float, _ tensors: TensorLookup) {
    blocks = plan.blocks
    norm =
      plan.hasNorm
      ? TrainableNorm(
        weight: tensors["\(plan.name).norm.weight"], bias: tensors["\(plan.name).norm.bias"], epsilon: epsilon
      )
      : nil
    hidden = plan.hidden.map { _ in tensors.linear("\(plan.name).hidden") }
    output = tensors.linear(plan.name)
  }

  /// Logits (B, K) of class tokens (B, D) as they leave the block below.
  ///
  /// - Parameter sharedNorm: the backbone's, for a head without its own.
  func callAsFunction(_ classTokens: Tensor, sharedNorm: (Tensor) throws -> Tensor, on tape: Tape) throws
    -> Tensor
  {
    var features = try norm?(classTokens, on: tape) ?? sharedNorm(classTokens)
    if let hidden { features = try tape.activation(hidden(features, on: tape), .gelu) }
    return try output(features, on: tape)
  }
}

/// Layer normalisation with trainable scale and shift.
struct TrainableNorm {
  let weight: Tensor
  let bias: Tensor
  let epsilon: Float

  func callAsFunction(_ input: Tensor, on tape: Tape) throws -> Tensor {
    try tape.layerNorm(input, weight: weight, bias: bias, epsilon: epsilon)
  }
}
