import GraftRuntime

extension Tape {
  /// A trainable linear layer in groups: output group g reads input group g alone, as a grouped 1x1 convolution.
  ///
  ///     y[g] = x[g] W[g]^T + b[g]
  ///
  /// The weight is spread to a block-diagonal one: with few channels a dense product that reads its input once is
  /// faster than one product a group.
  ///
  /// - Parameters:
  ///   - x: (..., inputs).
  ///   - weight: (outputs, inputs / groups).
  ///   - bias: (outputs).
  ///   - groups: divides inputs and outputs.
  /// - Returns: (..., outputs).
  /// - Throws: `RuntimeError` or ``MatmulError`` when the device fails.
  package func groupedLinear(_ x: Tensor, weight: Tensor, bias: Tensor?, groups: Int) throws -> Tensor {
    let outputs = weight.shape[0]
    precondition(groups > 0 && outputs % groups == 0, "groups divide the outputs")
    precondition(weight.width * groups == x.width, "the weight is (outputs, inputs / groups)")
    return try linear(x, weight: blockDiagonal(weight, groups: groups), bias: bias)
  }

  /// The dense weight (outputs, groups * part) of a grouped one (outputs, part).
  private func blockDiagonal(_ weight: Tensor, groups: Int) throws -> Tensor {
    guard groups > 1 else { return weight }
    let (outputs, part) = (weight.shape[0], weight.width)
    let context = weight.context
    let plan = RowPlan(rows: outputs, width: groups * part, on: context)
    // An item of a CPU has a row.
    let (items, group) =
      plan.lanes == 1 ? ([outputs], [min(16, context.traits.largestGroup)]) : (plan.global, plan.group)
    let dense = try Tensor(empty: [outputs, groups * part], on: context)
    try context.run(
      KernelKey("grouped_linear", "block_diagonal", macros: plan.macros), over: items, group: group,
      weight.buffer,
      dense.buffer, outputs, part, groups)
    guard needsGradient(weight) else { return dense }
    record(dense) { [weight = weight.gradientKey] gradient, gradients in
      func gather(adding base: Tensor?, into target: Tensor) throws {
        try context.run(
          KernelKey(
            "grouped_linear", "block_diagonal_backward",
            macros: plan.macros + (base == nil ? [] : [.init("BASE", 1)])),
          over: items, group: group, gradient.buffer, (base ?? gradient).buffer, target.buffer, outputs,
          part, groups)
      }
      if let sum = weight.sum {
        try gather(adding: sum, into: sum)
        return
      }
      try gradients.accumulate(into: weight) { sum in
        let target = try weight.empty()
        try gather(adding: sum, into: target)
        return target
      }
    }
    return dense
  }
}
