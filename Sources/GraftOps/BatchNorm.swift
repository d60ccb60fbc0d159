public import GraftRuntime

/// Running mean and variance of a batch normalisation: what it uses at inference and moves in training.
public final class BatchNormStatistics {
  /// Running mean (C), zero at first.
  public let mean: Tensor
  /// Running unbiased variance (C), one at first.
  public let variance: Tensor

  /// Statistics of `channels` channels that have seen no batch.
  ///
  /// - Throws: `RuntimeError` when the device has no memory left.
  public init(channels: Int, on context: Context) throws {
    mean = try Tensor.zeros([channels], on: context)
    variance = try Tensor([Float](repeating: 1, count: channels), shape: [channels], on: context)
  }

  /// Replaces both, as when a checkpoint is loaded.
  package func load(mean: [Float], variance: [Float]) throws {
    try self.mean.assign(mean)
    try self.variance.assign(variance)
  }
}

extension Tape {
  /// Batch normalisation of each channel over all rows: `(x - mean) / sqrt(variance + epsilon) * weight + bias`.
  ///
  /// Channels last makes tokens and grids the same. In training the statistics are the batch's (biased variance) and
  /// `running` moves towards them (unbiased variance); at inference they are `running`.
  ///
  /// - Parameters:
  ///   - input: (..., C).
  ///   - weight: (C).
  ///   - bias: (C).
  ///   - running: the statistics for inference.
  ///   - epsilon: added to the variance.
  ///   - momentum: weight of the batch in the running statistics.
  /// - Throws: ``OperationError/singleRowBatch(channels:)`` for a single row in training.
  package func batchNorm(
    _ input: Tensor, weight: Tensor, bias: Tensor, running: BatchNormStatistics, epsilon: Float = 1e-5,
    momentum: Float = 0.1
  ) throws -> Tensor {
    let (context, rows, channels) = (input.context, input.rows, input.width)
    precondition(weight.count == channels && bias.count == channels, "one weight and bias a channel")
    precondition(running.mean.count == channels, "one statistic a channel")
    let output = try Tensor(empty: input.shape, on: context)
    let plan = ColumnPlan(width: channels, on: context)
    let vector = plan.lanes == 1 ? ChannelPlan(channels: channels, on: context).vector : 1
    let macros = plan.macros + [.init("VEC", vector)]
    guard isTraining else {
      let perItem = context.traits.isCPU ? 64 : 8
      try context.run(
        KernelKey("batch_norm", "batch_norm_inference", macros: macros),
        over: [channels / vector, (rows + perItem - 1) / perItem], group: plan.group, input.buffer,
        weight.buffer,
        bias.buffer, running.mean.buffer, running.variance.buffer, output.buffer, rows, channels, epsilon,
        perItem)
      return output
    }
    guard rows > 1 else { throw OperationError.singleRowBatch(channels: channels) }
    let (items, group) =
      plan.lanes == 1 ? ([channels / vector], [1]) : ([plan.items(channels), plan.teams], plan.group)
    let statistics = try Tensor(empty: [3, channels], on: context)
    try context.run(
      KernelKey("batch_norm", "batch_norm_training", macros: macros), over: items, group: group, input.buffer,
      weight.buffer, bias.buffer, running.mean.buffer, running.variance.buffer,
      output.buffer, statistics.buffer, rows, channels, epsilon, isReplay ? 0 : momentum)
    guard needsGradient(input, weight, bias) else { return output }
    record(output) { gradient, gradients in
      func backward(sum: Tensor?, result: Tensor?) throws {
        let weightSum = weight.requiresGradient ? weight.gradientSum : nil
        let biasSum = bias.requiresGradient ? bias.gradientSum : nil
        // What the flags leave out is never touched: any buffer stands in for it.
        try context.run(
          KernelKey("batch_norm", "batch_norm_backward", macros: macros),
          over: items, group: group, input.buffer, weight.buffer, gradient.buffer,
          statistics.buffer, (sum ?? gradient).buffer, (result ?? gradient).buffer,
          (weightSum ?? gradient).buffer, (biasSum ?? gradient).buffer, rows, channels,
          weightSum == nil ? 0 : 1, biasSum == nil ? 0 : 1, result == nil ? 0 : 1, sum == nil ? 0 : 1)
      }
      guard input.requiresGradient else { return try backward(sum: nil, result: nil) }
      try gradients.accumulate(into: input) { sum in
        let result = try Tensor(empty: input.shape, on: context)
        try backward(sum: sum, result: result)
        return result
      }
    }
    return output
  }
}
