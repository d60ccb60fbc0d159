import GraftRuntime

/// Sums in two stages, always in the same order.
package enum Reduction {
  /// The sum of squares, as partial sums (blocks).
  package static func squarePartials(of x: Tensor) throws -> Tensor {
    let context = x.context
    let perBlock = max(4096, (x.count / 1024 + 15) / 16 * 16)
    let blocks = (x.count + perBlock - 1) / perBlock
    let partials = try Tensor(empty: [blocks], on: context)
    let plan = ElementwisePlan(count: x.count, on: context)
    try context.run(
      KernelKey("reduce", "square_partials", macros: plan.macros), over: [blocks * plan.group],
      group: [plan.group], x.buffer, partials.buffer, x.count, perBlock, blocks)
    return partials
  }
}
