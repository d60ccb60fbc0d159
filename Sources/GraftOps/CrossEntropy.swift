import GraftRuntime

extension Tape {
  /// Mean cross-entropy of a batch.
  ///
  /// - Parameters:
  ///   - logits: (B, K).
  ///   - labels: (B) class indices; one out of range makes the loss NaN.
  ///   - smoothing: share of the target that is spread evenly over all classes.
  /// - Returns: [1].
  package func crossEntropy(_ logits: Tensor, labels: Tensor, smoothing: Float = 0) throws -> Tensor {
    let (context, rows, classes) = (logits.context, logits.rows, logits.width)
    precondition(labels.element == .int32 && labels.count == rows, "one label a row")
    precondition(smoothing >= 0 && smoothing <= 1, "smoothing is a share")
    let losses = try Tensor(empty: [rows], on: context)
    let logSumExps = try Tensor(empty: [rows], on: context)
    let plan = RowPlan(rows: rows, width: classes, on: context, perItem: 1)
    try context.run(
      KernelKey("loss", "cross_entropy_rows", macros: plan.macros), over: plan.global, group: plan.group,
      logits.buffer, labels.buffer, losses.buffer, logSumExps.buffer, classes, rows, smoothing)
    let output = try Tensor(empty: [1], on: context)
    try context.run(
      KernelKey("loss", "cross_entropy_mean", macros: plan.macros), over: plan.group, group: plan.group,
      losses.buffer, output.buffer, rows)
    guard needsGradient(logits) else { return output }
    record(output) { gradient, gradients in
      let result = try Tensor(empty: logits.shape, on: context)
      try context.run(
        KernelKey("loss", "cross_entropy_gradient", macros: plan.macros), over: plan.global,
        group: plan.group,
        logits.buffer, labels.buffer, logSumExps.buffer, gradient.buffer, result.buffer, rows, classes,
        smoothing)
      try gradients.add(result, to: logits)
    }
    return output
  }
}
