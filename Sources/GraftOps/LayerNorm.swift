package import GraftRuntime

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
    let lanes = context.rowLanes
    try context.run(
      KernelKey("layer_norm", "layer_norm_forward", ["LANES": lanes]), over: [input.rows * lanes],
      group: [lanes], input.buffer, weight.buffer, bias.buffer, output.buffer, statistics.buffer, width,
      epsilon)
    guard needsGradient(input, weight, bias) else { return output }
    record(output) { gradient, gradients in
      try gradients.addChannelSums(
        of: gradient, times: input, normalizedBy: statistics, toScale: weight, toShift: bias)
      try gradients.accumulate(into: input) { sum in
        let result = try Tensor(empty: input.shape, on: context)
        try context.run(
          KernelKey("layer_norm", "layer_norm_backward", ["LANES": lanes]), over: [input.rows * lanes],
          group: [lanes], input.buffer, weight.buffer, gradient.buffer, statistics.buffer,
          (sum ?? gradient).buffer, result.buffer, width, sum == nil ? 0 : 1)
        return result
      }
    }
    return output
  }
}

extension Context {
  /// Work-items that share a row in kernels with the macro LANES: one wide item on a CPU, a group elsewhere.
  package var rowLanes: Int {
    guard !traits.isCPU else { return 1 }
    var lanes = 64
    while lanes > traits.maxWorkGroupSize { lanes /= 2 }
    return lanes
  }
}
