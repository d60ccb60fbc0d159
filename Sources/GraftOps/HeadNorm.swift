package import GraftRuntime

/// What normalises the queries and keys of each head: frozen, on the device.
package final class HeadNormWeights {
  /// Width of a head.
  package let headSize: Int
  /// Added to the biased variance.
  package let epsilon: Float
  /// (2, dh): the queries', then the keys'.
  fileprivate let weight: Tensor
  fileprivate let bias: Tensor

  /// - Parameters:
  ///   - queries: weight and bias (dh) of the queries' norm; an absent bias is 0.
  ///   - keys: those of the keys' norm.
  ///   - epsilon: added to the biased variance.
  /// - Throws: `RuntimeError` when the device has no memory left.
  package init(
    queries: (weight: [Float], bias: [Float]?), keys: (weight: [Float], bias: [Float]?), epsilon: Float,
    on context: Context
  ) throws {
    let headSize = queries.weight.count
    let zeros = [Float](repeating: 0, count: headSize)
    let biases = (queries.bias ?? zeros) + (keys.bias ?? zeros)
    precondition(headSize > 0 && keys.weight.count == headSize && biases.count == 2 * headSize, "(dh) each")
    self.headSize = headSize
    self.epsilon = epsilon
    weight = try Tensor(queries.weight + keys.weight, shape: [2, headSize], on: context)
    bias = try Tensor(biases, shape: [2, headSize], on: context)
  }
}

extension Tape {
  /// Layer normalisation of each head's queries and keys, `(x - mean) / sqrt(variance + epsilon) * weight + bias` over dh
  /// channels; values stay as they are.
  ///
  /// Its gradient keeps the input.
  ///
  /// - Parameters:
  ///   - qkv: (B, N, 3 D): queries, keys and values, each of `heads` heads one after another.
  ///   - norm: the frozen weights.
  ///   - heads: number of heads, each as wide as the weights.
  /// - Returns: (B, N, 3 D).
  /// - Throws: `RuntimeError` when the device fails.
  package func headNorm(_ qkv: Tensor, _ norm: HeadNormWeights, heads: Int) throws -> Tensor {
    precondition(qkv.width == 3 * heads * norm.headSize, "(B, N, 3 heads dh)")
    let kernels = HeadNormKernels(norm: norm, heads: heads)
    let output = try kernels.forward(qkv)
    guard needsGradient(qkv) else { return output }
    record(output) { gradient, gradients in
      try gradients.accumulate(into: qkv) { try kernels.backward(qkv, gradient, addingTo: $0) }
    }
    return output
  }
}

/// The kernels behind the norm of heads.
private struct HeadNormKernels {
  let norm: HeadNormWeights
  let heads: Int

  func forward(_ x: Tensor) throws -> Tensor {
    let output = try Tensor(empty: x.shape, on: x.context)
    try run(
      "head_norm_forward", x, [], x.buffer, norm.weight.buffer, norm.bias.buffer, output.buffer)
    return output
  }

  func backward(_ x: Tensor, _ gradient: Tensor, addingTo sum: Tensor?) throws -> Tensor {
    let result = try Tensor(empty: x.shape, on: x.context)
    try run(
      "head_norm_backward", x, sum == nil ? [] : [.init("ADD", 1)], x.buffer, norm.weight.buffer,
      gradient.buffer, (sum ?? gradient).buffer, result.buffer)
    return result
  }

  private func run(
    _ function: String, _ x: Tensor, _ macros: [KernelKey.Macro], _ arguments: any KernelArgument...
  ) throws {
    let context = x.context
    let count = x.count / norm.headSize
    let plan = RowPlan(rows: count, width: norm.headSize, on: context, isReadAgain: true, perItem: 64)
    try context.run(
      KernelKey("head_norm", function, macros: plan.macrosKeeping + [.init("HEAD", norm.headSize)] + macros),
      over: plan.global, group: plan.group,
      arguments: arguments + [heads, count, norm.epsilon, plan.perGroup])
  }
}
