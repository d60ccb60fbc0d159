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
    let plan = RowPlan(rows: input.rows, width: input.width * side * side, on: context, perItem: 16)
    let output = try Tensor(
      empty: [input.shape[0], input.shape[1], input.width * side * side], on: context)
    try context.run(
      KernelKey("unfold", "unfold", macros: plan.macros + [.init("SIDE", side)]), over: plan.global,
      group: plan.group, input.buffer, output.buffer, front, grid.0, grid.1, input.width, input.rows,
      plan.perGroup)
    guard needsGradient(input) else { return output }
    record(output) {
      [input = input.gradientKey, rows = input.rows, width = input.width] gradient, gradients in
      try gradients.accumulate(through: input, folds: true) { sum, applied in
        let result = try input.empty()
        let plan = UnfoldGradientPlan(
          images: rows / (front + grid.0 * grid.1), grid: grid, front: front, width: width, side: side,
          on: context)
        let last = MatmulEpilogue(through: applied, residual: sum)
        try context.run(
          KernelKey(
            "unfold", "unfold_backward",
            macros: plan.macros + [.init("SIDE", side), .init("PARTS", last.parts)] + last.tileMacros),
          over: plan.global, group: plan.group,
          arguments: [gradient.buffer, result.buffer] + last.arguments(unused: result)
            + [front, grid.0, grid.1, width, rows, plan.perItem] + last.tileArguments)
        return result
      }
    }
    return output
  }
}

/// How the gradient is spread: on a CPU an item has some tokens; elsewhere a group has a few channels of neighbouring cells,
/// around which it takes what was received into local memory.
private struct UnfoldGradientPlan {
  let global: [Int]
  let group: [Int]
  let perItem = 16

  init(images: Int, grid: (Int, Int), front: Int, width: Int, side: Int, on context: Context) {
    let traits = context.traits
    var (channels, cells) = traits.isCPU ? (1, 1) : (8, 8)
    func isTooLarge() -> Bool {
      channels > traits.largestGroup || cells > (traits.maxWorkItemSizes.dropFirst().first ?? 1)
        || channels * cells > traits.maxWorkGroupSize
        || 4 * (cells + side - 1) * channels * side * side > traits.localMemory
    }
    while channels > 1, isTooLarge() {
      if cells > 1 { cells /= 2 } else { channels /= 2 }
    }
    guard channels > 1 else {
      let rows = images * (front + grid.0 * grid.1)
      (global, group) = ([(rows + perItem - 1) / perItem], [1])
      return
    }
    func divided(_ length: Int, _ by: Int) -> Int { (length + by - 1) / by }
    let blocks = images * (divided(front, cells) + grid.0 * divided(grid.1, cells))
    global = [blocks * channels, divided(width, channels) * cells]
    group = [channels, cells]
  }

  var macros: [KernelKey.Macro] {
    [.init("LANES", group[0]), .init("TEAMS", group.count > 1 ? group[1] : 1)]
  }
}
