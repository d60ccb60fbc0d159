import GraftRuntime

/// Attention with groups of work-items and tiles in local memory, on any device: a pass for the queries' gradient and
/// one for that of keys and values, so that nothing needs atomics.
struct PortableAttention: AttentionKernels {
  private let shape: AttentionShape
  private let context: Context
  private let bias: AttentionBias?

  /// The macros GROUP_ROWS, SPLIT and TILE.
  private struct Tiling {
    var rows: Int
    var split: Int
    var tile: Int

    var group: Int { rows * split }

    /// Halves what local memory is taken for.
    ///
    /// - Returns: false when nothing is left to halve.
    mutating func shrink() -> Bool {
      if tile > 1 { tile /= 2 } else if rows > 1 { rows /= 2 } else { return false }
      return true
    }
  }

  init(_ shape: AttentionShape, _ context: Context, bias: AttentionBias?) {
    self.shape = shape
    self.context = context
    self.bias = bias
  }

  func forward(_ qkv: Tensor) throws -> (output: Tensor, logSumExp: Tensor) {
    let output = try Tensor(empty: [shape.batch, shape.queries, shape.width], on: context)
    let logSumExp = try Tensor(empty: [shape.batch, shape.heads, shape.queries], on: context)
    // One matrix of each side at a time, and the scores.
    try run(
      "attention_forward_portable", rows: shape.queries, sides: 1, squares: 1, qkv.buffer, output.buffer,
      logSumExp.buffer, shape.tokens, shape.queries, shape.heads, shape.scale)
    return (output, logSumExp)
  }

  func backward(_ qkv: Tensor, _ output: Tensor, _ logSumExp: Tensor, _ gradient: Tensor) throws -> Tensor {
    let result = try Tensor(empty: qkv.shape, on: context)
    let delta = try Tensor(empty: logSumExp.shape, on: context)
    let tiling = tiling(sides: 1, squares: 1)
    try context.run(
      kernel("attention_delta_portable", tiling), over: [output.rows * shape.heads],
      group: [min(64, context.traits.maxWorkGroupSize)], output.buffer, gradient.buffer, delta.buffer,
      shape.queries, shape.heads, output.rows)
    for (function, rows) in [
      ("attention_backward_queries", shape.queries), ("attention_backward_keys", shape.tokens),
    ] {
      try run(
        function, rows: rows, sides: 2, squares: 2, qkv.buffer, gradient.buffer, logSumExp.buffer,
        delta.buffer, result.buffer, shape.tokens, shape.queries, shape.heads, shape.scale)
    }
    return result
  }

  /// - Parameters:
  ///   - rows: of one head, which the groups share.
  ///   - sides: matrices that the kernel holds of the group's rows, and of the other side.
  ///   - squares: matrices of rows by tile.
  private func run(
    _ function: String, rows: Int, sides: Int, squares: Int, _ arguments: any KernelArgument...
  ) throws {
    var tiling = tiling(sides: sides, squares: squares)
    // A driver may allow a kernel fewer items than the device when it takes many registers, and take more local memory
    // for it than its arrays hold.
    while tiling.rows > 1, try context.maxGroup(of: kernel(function, tiling, bias)) < tiling.group {
      tiling.rows /= 2
    }
    let limit = context.traits.localMemory
    while try context.localMemory(of: kernel(function, tiling, bias)) > limit, tiling.shrink() {}
    let groups = shape.batch * shape.heads * ((rows + tiling.rows - 1) / tiling.rows)
    try context.run(
      kernel(function, tiling, bias), over: [groups * tiling.group], group: [tiling.group],
      arguments: arguments + bias.arguments)
  }

  private func kernel(_ function: String, _ tiling: Tiling, _ bias: AttentionBias? = nil) -> KernelKey {
    KernelKey(
      "attention", function,
      macros: [
        .init("PORTABLE", 1), .init("HEAD", shape.headSize), .init("GROUP_ROWS", tiling.rows),
        .init("SPLIT", tiling.split), .init("TILE", tiling.tile),
      ] + bias.macros)
  }

  /// The largest tiling within the device's work-group size and local memory.
  private func tiling(sides: Int, squares: Int) -> Tiling {
    let tuning = context.tuning.attention
    var tiling = Tiling(
      rows: tuning.groupItems / tuning.split, split: tuning.split, tile: tuning.tile)
    // The kernels' arrays: rows of one float more than a head, squares of one more than a tile.
    func bytes(_ tiling: Tiling) -> Int {
      4
        * (sides * (tiling.rows + tiling.tile) * (shape.headSize + 1) + squares * tiling.rows
          * (tiling.tile + 1))
    }
    while bytes(tiling) > context.traits.localMemory, tiling.shrink() {}
    return tiling
  }
}
