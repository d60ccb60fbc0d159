import GraftRuntime

extension Tape {
  /// Layer normalisation over the last dimension: `(x - mean) / sqrt(variance + epsilon) * weight + bias`.
  ///
  /// - Parameters:
  ///   - input: (..., D).
  ///   - weight: (D), frozen or trainable.
  ///   - bias: (D), frozen or trainable.
  ///   - epsilon: added to the biased variance.
  package func layerNorm(_ input: Tensor, weight: Tensor, bias: Tensor, epsilon: Float) throws -> Tensor {
    let norm = LayerNorm(weight: weight, bias: bias, epsilon: epsilon)
    let (output, statistics) = try norm.forward(input)
    guard needsGradient(input, weight, bias) else { return output }
    record(output) { gradient, gradients in
      try gradients.addChannelSums(
        of: gradient, times: input, normalizedBy: statistics, toScale: weight, toShift: bias)
      try gradients.accumulate(into: input) {
        try norm.backward(input, gradient, statistics: statistics, addingTo: $0)
      }
    }
    return output
  }
}

/// A layer norm's numbers, and its kernels.
package struct LayerNorm {
  /// (D), and so is `bias`.
  package let weight: Tensor
  package let bias: Tensor
  package let epsilon: Float

  package init(weight: Tensor, bias: Tensor, epsilon: Float) {
    (self.weight, self.bias, self.epsilon) = (weight, bias, epsilon)
  }

  private func plan(_ input: Tensor) -> RowPlan {
    RowPlan(rows: input.rows, width: input.width, on: input.context, isReadAgain: true, perItem: 1)
  }

  /// - Parameter gradientKey: of the result, where that is known already.
  /// - Returns: the result, and mean, inverse deviation and rest of every row.
  func forward(_ input: Tensor, gradientKey: GradientKey? = nil) throws -> (Tensor, statistics: Tensor) {
    let (context, width) = (input.context, input.width)
    precondition(weight.count == width && bias.count == width, "one weight and bias a channel")
    let output = try Tensor(empty: input.shape, on: context, gradientKey: gradientKey)
    let statistics = try Tensor(empty: [input.rows, 3], on: context)
    let plan = plan(input)
    try context.run(
      KernelKey("layer_norm", "layer_norm_forward", macros: plan.macrosKeeping), over: plan.global,
      group: plan.group, input.buffer, weight.buffer, bias.buffer, output.buffer, statistics.buffer, width,
      input.rows, epsilon)
    return (output, statistics)
  }

  /// The input's gradient, plus the sum so far where there is one.
  func backward(
    _ input: Tensor, _ gradient: Tensor, statistics: Tensor, addingTo sum: Tensor?
  ) throws -> Tensor {
    let result = try Tensor(empty: input.shape, on: input.context)
    let plan = plan(input)
    try input.context.run(
      KernelKey("layer_norm", "layer_norm_backward", macros: plan.macrosKeeping), over: plan.global,
      group: plan.group, input.buffer, weight.buffer, gradient.buffer, statistics.buffer,
      (sum ?? gradient).buffer, result.buffer, input.width, input.rows, sum == nil ? 0 : 1)
    return result
  }
}
