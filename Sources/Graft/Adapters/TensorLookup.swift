import GraftOps

/// Finds a plan's tensors once they are on the device.
package struct TensorLookup {
  let tensors: [String: Tensor]
  let statistics: [String: BatchNormStatistics]
  let backbone: Backbone

  subscript(_ name: String) -> Tensor {
    guard let tensor = tensors[name] else { preconditionFailure("\(name) was not declared") }
    return tensor
  }

  /// A frozen vector of the backbone, by timm's name.
  func frozen(_ name: String) throws -> Tensor {
    let values = backbone.vector(name)
    return try Tensor(values, shape: [values.count], on: backbone.context)
  }

  func linear(_ name: String) -> TrainableLinear {
    TrainableLinear(weight: self["\(name).weight"], bias: self["\(name).bias"])
  }

  func batchNorm(_ name: String) -> TrainableBatchNorm {
    guard let running = statistics[name] else { preconditionFailure("\(name) was not declared") }
    return TrainableBatchNorm(weight: self["\(name).weight"], bias: self["\(name).bias"], running: running)
  }
}

/// `x W^T + b` with trainable weight and bias.
struct TrainableLinear {
  let weight: Tensor
  let bias: Tensor

  func callAsFunction(_ input: Tensor, on tape: Tape) throws -> Tensor {
    try tape.linear(input, weight: weight, bias: bias)
  }

  /// `scale * (x W^T + b)`, in groups if need be; the factor goes onto the parameters, which are smaller than the tokens.
  func callAsFunction(_ input: Tensor, groups: Int = 1, scaledBy scale: Float, on tape: Tape) throws -> Tensor
  {
    try tape.groupedLinear(
      input, weight: tape.scale(weight, by: scale), bias: tape.scale(bias, by: scale), groups: groups)
  }
}

/// Batch normalisation with trainable scale and shift.
struct TrainableBatchNorm {
  let weight: Tensor
  let bias: Tensor
  let running: BatchNormStatistics

  func callAsFunction(_ input: Tensor, on tape: Tape) throws -> Tensor {
    try tape.batchNorm(input, weight: weight, bias: bias, running: running)
  }
}
