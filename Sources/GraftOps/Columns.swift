import GraftRuntime

extension Tape {
  /// A narrower tensor added into a range of columns: `y = x; y[..., from ..< from + w] += scale * d`.
  ///
  /// - Parameters:
  ///   - added: (..., w), with as many rows as `input`.
  ///   - input: (..., D).
  ///   - from: the first column.
  ///   - scale: on what is added.
  /// - Throws: `RuntimeError` when the device fails.
  package func addColumns(
    _ added: Tensor, to input: Tensor, from: Int = 0, scale: Float = 1
  ) throws -> Tensor {
    let (context, width, count) = (input.context, input.width, added.width)
    precondition(from >= 0 && from + count <= width && added.rows == input.rows, "outside")
    let plan = RowPlan(rows: input.rows, width: width, on: context)
    let output = try Tensor(empty: input.shape, on: context)
    try context.run(
      KernelKey("columns", "add_columns", macros: plan.macros), over: plan.global, group: plan.group,
      input.buffer, added.buffer, output.buffer, scale, width, from, count,
      input.rows, plan.perGroup)
    guard needsGradient(input, added) else { return output }
    record(output) {
      [input = input.gradientKey, added = added.gradientKey, rows = input.rows] gradient, gradients in
      try gradients.add(gradient, to: input)
      guard added.requiresGradient else { return }
      let result = try added.empty()
      try context.run(
        KernelKey("columns", "add_columns_backward", macros: plan.macros), over: plan.global,
        group: plan.group,
        gradient.buffer, result.buffer, scale, width, from, count, rows,
        plan.perGroup)
      try gradients.add(result, to: added)
    }
    return output
  }
}
