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
  let plan = ElementwisePlan(count: input.count, on: input.context)
  try input.context.run(
    KernelKey("transpose", "transpose_matrices"), over: [plan.items], group: [plan.group], input.buffer,
    output.buffer, rows, columns, input.count, plan.perItem)
  return output
}
