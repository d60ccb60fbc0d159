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
      try LayerNorm.addGradients(
        input, gradient, statistics: statistics, weight: weight.gradientSum, bias: bias.gradientSum)
      try gradients.accumulate(into: input) { sum in
        let result = try Tensor(empty: input.shape, on: context)
        try context.run(
          KernelKey(
            "layer_norm", "layer_norm_backward", sum == nil ? ["LANES": lanes] : ["LANES": lanes, "ADD": 1]),
          over: [input.rows * lanes], group: [lanes], input.buffer, weight.buffer, gradient.buffer,
          statistics.buffer, (sum ?? gradient).buffer, result.buffer, width)
        return result
      }
    }
    return output
  }
}

private enum LayerNorm {
  /// Adds the gradients of a trainable scale and shift to what they have gathered so far.
  static func addGradients(
    _ input: Tensor, _ gradient: Tensor, statistics: Tensor, weight: Tensor?, bias: Tensor?
  ) throws {
    guard weight != nil || bias != nil else { return }
    let context = input.context
    let vector = ChannelPlan(channels: input.width, on: context).vector
    var macros = [KernelKey.Macro("VEC", vector)]
    if weight != nil { macros.append(.init("WEIGHT", 1)) }
    if bias != nil { macros.append(.init("BIAS", 1)) }
    let group = context.traits.isCPU ? 1 : min(64, context.traits.maxWorkGroupSize)
    // What the macros leave out is never touched: any buffer stands in for it.
    try context.run(
      KernelKey("layer_norm", "layer_norm_parameters_backward", macros: macros),
      over: [input.width / vector], group: [group], input.buffer, gradient.buffer, statistics.buffer,
      (weight ?? statistics).buffer, (bias ?? statistics).buffer, input.rows, input.width)
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
