import GraftOps

/// A classification head as a plan declares it: after which block it reads the pooled tokens, and through what.
///
///     logits = W h + b                              linear
///     logits = W2 GELU(W1 h + b1) + b2              with a hidden layer
///
/// where `h` is the backbone's feature, or below the last block the pooled tokens under a norm of the head's that starts
/// as a copy of the backbone's last one.
struct HeadPlan: Sendable, Hashable {
  /// What its tensors' names start with.
  let name: String
  /// Blocks below it.
  let blocks: Int
  /// Channels that it reads.
  let width: Int
  /// The backbone's norm that its own, which is trained, starts as a copy of; `nil` where it reads the feature.
  let norm: FrozenOperation?
  /// Channels of the hidden layer; `nil` makes it linear.
  let hidden: Int?

  /// The head behind the last block: linear, on the backbone's feature.
  static func last(on shape: BackboneShape) -> HeadPlan {
    HeadPlan(name: "head", blocks: shape.depth, width: shape.featureWidth, norm: nil, hidden: nil)
  }

  /// A head below the last block, with its own norm.
  static func exit(after blocks: Int, hidden: Int?, on shape: BackboneShape) -> HeadPlan {
    HeadPlan(
      name: "exits.\(blocks)", blocks: blocks, width: shape.start.width, norm: shape.end.norm, hidden: hidden)
  }

  /// Declares the head's tensors.
  func declare(in plan: inout AdapterPlan, classes: Int) {
    let start = plan.head
    func linear(_ name: String, _ inputs: Int, _ outputs: Int) {
      let (weight, bias): (Initializer, Initializer) =
        switch start {
        case .truncatedNormal: (.truncatedNormal(deviation: 0.02), .constant(0))
        case .xavier: (.xavier(fanIn: inputs, fanOut: outputs), .normal(mean: 0, deviation: 1e-6))
        }
      plan.declareLinear(name, outputs: outputs, inputs: inputs, weight: weight, bias: bias)
    }
    if let norm {
      plan.declare("\(name).norm.weight", [width], .copied(from: norm.weightName))
      plan.declare("\(name).norm.bias", [width], .copied(from: norm.biasName))
    }
    if let hidden { linear("\(name).hidden", width, hidden) }
    linear(name, hidden ?? width, classes)
  }

  /// Scalars that the head trains.
  func parameterCount(classes: Int) -> Int {
    let inputs = hidden ?? width
    return (norm == nil ? 0 : 2 * width) + (hidden.map { (width + 1) * $0 } ?? 0) + (inputs + 1) * classes
  }
}

/// A classification head on the device.
struct ClassificationHead {
  /// Blocks below it.
  let blocks: Int
  private let norm: TrainableNorm?
  private let hidden: TrainableLinear?
  private let output: TrainableLinear

  init(_ plan: HeadPlan, _ tensors: TensorLookup) {
    blocks = plan.blocks
    if case .norm(let epsilon)? = plan.norm?.kind {
      norm = TrainableNorm(
        weight: tensors["\(plan.name).norm.weight"], bias: tensors["\(plan.name).norm.bias"], epsilon: epsilon
      )
    } else {
      norm = nil
    }
    hidden = plan.hidden.map { _ in tensors.linear("\(plan.name).hidden") }
    output = tensors.linear(plan.name)
  }

  /// Whether it reads the backbone's feature, and not pooled tokens from below the last block.
  var readsFeature: Bool { norm == nil }

  /// Logits (B, K) of what it reads: features (B, featureWidth), or pooled tokens (B, D).
  func callAsFunction(_ input: Tensor, on tape: Tape) throws -> Tensor {
    var features = try norm?(input, on: tape) ?? input
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
