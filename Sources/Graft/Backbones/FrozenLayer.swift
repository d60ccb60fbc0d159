import GraftOps

/// A frozen linear layer at its place.
struct FrozenLayer {
  let id: FrozenOperation.ID
  /// The layer with what scales its outputs.
  let linear: PreparedLinear
  /// The layer alone, for what stands on it; the same where nothing scales.
  let bare: PreparedLinear
}

/// A frozen layer normalisation at its place.
package struct FrozenNorm {
  let id: FrozenOperation.ID
  let norm: LayerNorm

  func callAsFunction(_ input: Tensor, on tape: Tape) throws -> Tensor {
    try tape.layerNorm(input, weight: norm.weight, bias: norm.bias, epsilon: norm.epsilon)
  }

  /// The same, left to the products that read it where they can.
  func normed(_ input: Tensor, on tape: Tape) throws -> LinearInput {
    try tape.normed(input, behind: norm)
  }
}
