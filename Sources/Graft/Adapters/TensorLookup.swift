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

  /// `drop(activation(x W^T + b))`.
  func callAsFunction(
    _ input: LinearInput, activation: Activation = .none, dropout: Float = 0, on tape: Tape
  ) throws -> Tensor {
    try tape.linear(input, weight: weight, bias: bias, activation: activation, dropout: dropout)
  }

  func callAsFunction(
    _ input: Tensor, activation: Activation = .none, dropout: Float = 0, on tape: Tape
  ) throws -> Tensor {
    try self(.rows(input), activation: activation, dropout: dropout, on: tape)
  }

  /// `sum + drop(scale * (x W^T + b))`; the factor goes onto the parameters, which are smaller than the tokens.
  func callAsFunction(
    _ input: Tensor, scaledBy scale: Float, dropout: Float = 0, addedTo sum: Tensor, on tape: Tape
  ) throws -> Tensor {
    try tape.linear(
      .rows(input), weight: tape.scale(weight, by: scale), bias: tape.scale(bias, by: scale),
      dropout: dropout, residual: sum)
  }

  /// `scale * (x W^T + b)` in groups; the factor goes onto the parameters, which are smaller than the tokens.
  func callAsFunction(_ input: Tensor, groups: Int, scaledBy scale: Float, on tape: Tape) throws -> Tensor {
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
