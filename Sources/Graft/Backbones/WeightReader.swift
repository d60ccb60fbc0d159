import GraftOps
import GraftRuntime

/// Reads operations under their canonical names and prepares them for the device: layers are built from the list that
/// counts them.
struct WeightReader {
  private let weights: any WeightSource
  private let context: Context
  /// Values of the small tensors (tokens, biases, norms) that adapters may start from.
  private(set) var vectors: [String: [Float]] = [:]

  init(_ weights: any WeightSource, on context: Context) {
    self.weights = weights
    self.context = context
  }

  /// A tensor's values.
  mutating func values(_ tensor: TensorSpec) throws -> [Float] {
    let values = try weights.floats(tensor)
    if tensor.shape.filter({ $0 > 1 }).count <= 1 { vectors[tensor.name] = values }
    return values
  }

  /// A linear layer or a patch embedding.
  ///
  /// - Parameter layerScale: a factor on each output, `gamma * (x W^T + b)`: it goes into the bias and the product's last step, and
  ///   the weight stays as it was stored.
  mutating func layer(_ operation: FrozenOperation, scaledBy layerScale: TensorSpec? = nil) throws
    -> FrozenLayer
  {
    let tensors = try operation.tensors.map { try values($0) }
    let bias = tensors.count > 1 ? tensors[1] : nil
    let gamma = try layerScale.map { try values($0) }
    let linear = try PreparedLinear(
      weight: tensors[0], bias: gamma.flatMap { gamma in bias.map { zip(gamma, $0).map(*) } } ?? bias,
      scale: gamma, outputs: operation.outputs, inputs: operation.inputs, on: context)
    return FrozenLayer(
      id: operation.id, linear: linear, bare: try gamma == nil ? linear : linear.unscaled(bias: bias))
  }

  /// A layer normalisation.
  mutating func norm(_ operation: FrozenOperation) throws -> FrozenNorm {
    guard case .norm(let epsilon) = operation.kind else { preconditionFailure("\(operation) is no norm") }
    let tensors = try operation.tensors.map {
      try Tensor(values($0), shape: [operation.outputs], on: context)
    }
    return FrozenNorm(
      id: operation.id, norm: LayerNorm(weight: tensors[0], bias: tensors[1], epsilon: epsilon))
  }
}
