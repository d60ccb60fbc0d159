import GraftRuntime

/// Sums over many rows, in two stages and always in the same order.
package enum Reduction {
  /// `target[c] += sum of x[row, c] over all rows`: the gradient of a bias.
  package static func addColumnSums(of x: Tensor, into target: Tensor) throws {
    precondition(target.count == x.width, "one sum a column")
    let context = x.context
    let rowsPerBlock = max(16, (x.rows + 63) / 64)
    let blocks = (x.rows + rowsPerBlock - 1) / rowsPerBlock
    let partials = try Tensor(empty: [blocks, x.width], on: context)
    try context.run(
      KernelKey("reduce", "column_partials"), over: [(x.width + 15) / 16, blocks], group: [1, 1], x.buffer,
      partials.buffer, x.rows, x.width, rowsPerBlock)
    try addBlocks(partials, into: target)
  }

  /// `target[i] += sum of partials[k, i] over all blocks k`.
  package static func addBlocks(_ partials: Tensor, into target: Tensor) throws {
    let context = partials.context
    let group = min(64, context.traits.maxWorkGroupSize)
    try context.run(
      KernelKey("reduce", "add_blocks"), over: [target.count], group: [group], partials.buffer, target.buffer,
      target.count, partials.count / target.count)
  }

  /// The sum of squares, as partial sums (blocks).
  package static func squarePartials(of x: Tensor) throws -> Tensor {
    let context = x.context
    let perBlock = max(4096, (x.count / 1024 + 15) / 16 * 16)
    let blocks = (x.count + perBlock - 1) / perBlock
    let partials = try Tensor(empty: [blocks], on: context)
    try context.run(
      KernelKey("reduce", "square_partials"), over: [blocks], group: [1], x.buffer, partials.buffer, x.count,
      perBlock, blocks)
    return partials
  }
}
