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

  /// A linear layer or a patch embedding, with what scales its outputs folded in.
  mutating func layer(_ operation: FrozenOperation, scaledBy layerScale: TensorSpec? = nil) throws
    -> FrozenLayer
  {
    let (outputs, inputs) = (operation.outputs, operation.inputs)
    var tensors = try operation.tensors.map { try values($0) }
    var scale: Tensor?
    if let gamma = try layerScale.map({ try values($0) }) {
      scale = try Tensor(gamma, shape: [outputs], on: context)
      for row in 0..<outputs {
        if tensors.count > 1 { tensors[1][row] *= gamma[row] }
        for column in 0..<inputs { tensors[0][row * inputs + column] *= gamma[row] }
      }
    }
    return FrozenLayer(
      id: operation.id,
      linear: try PreparedLinear(
        weight: tensors[0], bias: tensors.count > 1 ? tensors[1] : nil, outputs: outputs, inputs: inputs,
        on: context), layerScale: scale)
  }

  /// A layer normalisation.
  mutating func norm(_ operation: FrozenOperation) throws -> FrozenNorm {
    guard case .norm(let epsilon) = operation.kind else { preconditionFailure("\(operation) is no norm") }
    let tensors = try operation.tensors.map {
      try Tensor(values($0), shape: [operation.outputs], on: context)
    }
    return FrozenNorm(id: operation.id, weight: tensors[0], bias: tensors[1], epsilon: epsilon)
  }
}
