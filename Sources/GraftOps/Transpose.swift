import GraftRuntime

extension Tape {
  /// Small matrices (n, a, b), each transposed: (n, b, a).
  ///
  /// - Throws: `RuntimeError` when the device fails.
  package func transposed(_ input: Tensor) throws -> Tensor {
    let output = try transposeMatrices(input)
    if needsGradient(input) {
      record(output) { [input = input.gradientKey] gradient, gradients in
        try gradients.add(transposeMatrices(gradient), to: input)
      }
    }
    return output
  }
}

/// The same without a gradient.
func transposeMatrices(_ input: Tensor) throws -> Tensor {
  precondition(input.shape.count == 3, "a stack of matrices")
  let (rows, columns) = (input.shape[1], input.shape[2])
  let output = try Tensor(empty: [input.shape[0], columns, rows], on: input.context)
  let plan = TilePlan(on: input.context)
  // A CPU's item writes a stretch of the result, whatever matrices it lies in.
  let perItem = input.context.traits.isCPU ? 4096 : 16
  let isTiled = plan.side > 1
  try input.context.run(
    KernelKey("transpose", "transpose_matrices", macros: plan.macros),
    over: isTiled
      ? [plan.tiles(columns) * plan.side, plan.tiles(rows) * plan.teams, input.shape[0]]
      : [(input.count + perItem - 1) / perItem],
    group: isTiled ? [plan.side, plan.teams, 1] : [1], input.buffer,
    output.buffer, rows, columns, input.count, perItem)
  return output
}
