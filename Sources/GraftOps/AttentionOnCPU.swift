import GraftRuntime

/// Attention with one work-item a group: tiles of keys and values are packed into local memory, which on a CPU is
/// cache, and register tiles of 6 rows by as many vectors as registers hold do the products.
struct AttentionOnCPU: AttentionKernels {
  /// Rows of the register tile: ROWS in the kernels.
  private static let registerRows = 6

  private let shape: AttentionShape
  private let context: Context
  private let bias: AttentionBias?
  /// Products take pairs of bf16.
  private let isPaired: Bool
  /// Work-items that share the queries of a head.
  private let chunks: Int
  /// Queries of a work-item.
  private let chunkQueries: Int
  /// Queries at a time in the backward pass.
  private let block: Int

  /// Keys at a time, and the local memory that takes.
  private struct Tile {
    let keys: Int
    let scratch: Int
  }

  init(_ shape: AttentionShape, _ context: Context, bias: AttentionBias?, isPaired: Bool) {
    self.shape = shape
    self.context = context
    self.bias = bias
    self.isPaired = isPaired
    // Several work-items a core keep all cores busy to the end. Each packs all keys again, which below 48 queries is no
    // longer small beside its work; the sums of 1020 queries still fit beside the tiles.
    let items = max(
      1, context.tuning.attention.itemsPerCore * context.traits.computeUnits / (shape.batch * shape.heads))
    let share = roundUp((shape.queries + items - 1) / items, Self.registerRows)
    chunkQueries = min(max(share, 48), 1020)
    chunks = (shape.queries + chunkQueries - 1) / chunkQueries
    block = context.traits.localMemory < 256 << 10 ? Self.registerRows : 8 * Self.registerRows
  }

  /// False where the device's local memory is too small.
  var fits: Bool { max(forwardTile.scratch, backwardTile.scratch) * 4 <= context.traits.localMemory }

  func forward(_ qkv: Tensor) throws -> (output: Tensor, logSumExp: Tensor) {
    let output = try Tensor(empty: [shape.batch, shape.queries, shape.width], on: context)
    let logSumExp = try Tensor(empty: [shape.batch, shape.heads, shape.queries], on: context)
    let tile = forwardTile
    try context.run(
      kernel("attention_forward", bias), over: [shape.batch * shape.heads * chunks], group: [1],
      arguments: [
        qkv.buffer, output.buffer, logSumExp.buffer, LocalMemory(floats: tile.scratch), shape.tokens,
        shape.queries, shape.heads, tile.keys, chunks, chunkQueries, shape.scale,
      ] + bias.arguments)
    return (output, logSumExp)
  }

  func backward(_ qkv: Tensor, _ output: Tensor, _ logSumExp: Tensor, _ gradient: Tensor) throws -> Tensor {
    let result = try Tensor(empty: qkv.shape, on: context)
    let delta = try Tensor(empty: logSumExp.shape, on: context)
    try context.run(
      kernel("attention_delta"), over: [output.rows], group: [1], output.buffer, gradient.buffer,
      delta.buffer, shape.queries, shape.heads, output.rows)
    let rows = shape.batch * shape.tokens
    let partials = chunks == 1 ? result : try Tensor(empty: [chunks, rows, 2, shape.width], on: context)
    let tile = backwardTile
    try context.run(
      kernel("attention_backward", bias), over: [shape.batch * shape.heads * chunks], group: [1],
      arguments: [
        qkv.buffer, gradient.buffer, logSumExp.buffer, delta.buffer, result.buffer, partials.buffer,
        LocalMemory(floats: tile.scratch), shape.batch, shape.tokens, shape.queries, shape.heads, tile.keys,
        block, chunks, chunkQueries, shape.scale,
      ] + bias.arguments)
    if chunks > 1 {
      try context.run(
        kernel("attention_reduce"), over: [rows], group: [1], partials.buffer, result.buffer, shape.width,
        chunks, rows)
    }
    return result
  }

  private func kernel(_ function: String, _ bias: AttentionBias? = nil) -> KernelKey {
    var macros = [
      KernelKey.Macro("HEAD", shape.headSize), .init("TILE_VECTORS", context.tuning.attention.vectors),
    ]
    if isPaired { macros.append(.init("DOT_PRODUCT", 1)) }
    return KernelKey("attention", function, macros: macros + bias.macros)
  }

  /// A head's row in whole vectors.
  private var padded: Int { roundUp(shape.headSize, 16) }

  // Both sums follow the lists in the kernels' comments.

  private var forwardTile: Tile {
    tile(atMost: context.tuning.attention.forwardKeys) { keys in
      (shape.headSize + padded + Self.registerRows) * keys + 2 * Self.registerRows * padded + 2 * chunkQueries
    }
  }

  private var backwardTile: Tile {
    tile(atMost: context.tuning.attention.backwardKeys) { keys in
      (2 * shape.headSize + padded) * keys + 2 * padded * (keys + Self.registerRows) + 2 * padded * block
        + 2 * block * (keys + Self.registerRows) + Self.registerRows * padded
    }
  }

  /// The most even tiling of the keys with tiles of at most `most` whose scratch fits into local memory.
  private func tile(atMost most: Int, floats: (Int) -> Int) -> Tile {
    var limit = most
    while limit > 16 && floats(limit) * 4 > context.traits.localMemory { limit -= 16 }
    let tiles = (shape.tokens + limit - 1) / limit
    let keys = roundUp((shape.tokens + tiles - 1) / tiles, 16)
    return Tile(keys: keys, scratch: floats(keys))
  }
}

private func roundUp(_ value: Int, _ step: Int) -> Int { (value + step - 1) / step * step }
