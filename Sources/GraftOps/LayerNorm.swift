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
    let context = input.context
    let width = input.width
    precondition(weight.count == width && bias.count == width, "one weight and bias a channel")
    let output = try Tensor(empty: input.shape, on: context)
    let statistics = try Tensor(empty: [input.rows, 3], on: context)
    let rows = input.rows
    let plan = RowPlan(rows: rows, width: width, on: context, isReadAgain: true, perItem: 1)
    try context.run(
      KernelKey("layer_norm", "layer_norm_forward", macros: plan.macrosKeeping), over: plan.global,
      group: plan.group, input.buffer, weight.buffer, bias.buffer, output.buffer, statistics.buffer, width,
      rows,
      epsilon)
    guard needsGradient(input, weight, bias) else { return output }
    record(output) { gradient, gradients in
      try gradients.addChannelSums(
        of: gradient, times: input, normalizedBy: statistics, toScale: weight, toShift: bias)
      try gradients.accumulate(into: input) { sum in
        let result = try Tensor(empty: input.shape, on: context)
        try context.run(
          KernelKey("layer_norm", "layer_norm_backward", macros: plan.macrosKeeping), over: plan.global,
          group: plan.group, input.buffer, weight.buffer, gradient.buffer, statistics.buffer,
          (sum ?? gradient).buffer, result.buffer, width, rows, sum == nil ? 0 : 1)
        return result
      }
    }
    return output
  }
}
