import GraftRuntime

extension Tape {
  /// The neighbourhoods of a token grid's cells, so that a linear layer over them is a full convolution.
  ///
  /// Zero padding keeps the grid's size. Each token in front is an image of one cell, of which only the centre tap is
  /// not zero.
  ///
  /// - Parameters:
  ///   - input: (B, F + H*W, C).
  ///   - grid: H and W.
  ///   - side: cells on a neighbourhood's side; odd.
  ///   - front: F, tokens ahead of the grid; 0 where there are none.
  /// - Returns: (B, F + H*W, C * side^2), in the order of a convolution's weight (out, C, side, side).
  /// - Throws: ``OperationError`` for an even side.
  package func unfoldTokens(_ input: Tensor, grid: (Int, Int), side: Int, front: Int) throws -> Tensor {
    precondition(
      input.shape.count == 3 && front >= 0 && input.shape[1] == front + grid.0 * grid.1, "(B, F + H*W, C)")
    guard side > 0, side % 2 == 1 else { throw OperationError.kernelSide(side) }
    let context = input.context
    let perItem = context.traits.isCPU ? 16 : 1
    let items = (input.rows + perItem - 1) / perItem * context.rowLanes
    let macros = [KernelKey.Macro("LANES", context.rowLanes), .init("SIDE", side)]
    let output = try Tensor(
      empty: [input.shape[0], input.shape[1], input.width * side * side], on: context)
    try context.run(
      KernelKey("unfold", "unfold", macros: macros), over: [items], group: [context.rowLanes], input.buffer,
      output.buffer, front, grid.0, grid.1, input.width, input.rows, perItem)
    guard needsGradient(input) else { return output }
    record(output) {
      [input = input.gradientKey, rows = input.rows, width = input.width] gradient, gradients in
      try gradients.accumulate(into: input) { sum in
        let result = try input.empty()
        try context.run(
          KernelKey("unfold", "unfold_backward", macros: macros + (sum == nil ? [] : [.init("ADD", 1)])),
          over: [items], group: [context.rowLanes], gradient.buffer, (sum ?? gradient).buffer, result.buffer,
          front, grid.0, grid.1, width, rows, perItem)
        return result
      }
    }
    return output
  }
}
