import GraftRuntime

extension Tape {
  /// Multi-head attention: `softmax(q k^T / sqrt(head size)) v` for each head.
  ///
  /// For the gradient it keeps `qkv`, the output and a number a query (the log of its sum of exponentials); the
  /// probabilities are computed again.
  ///
  /// - Parameters:
  ///   - qkv: (B, N, 3 D): queries, keys and values, each of `heads` heads one after another.
  ///   - heads: number of heads.
  /// - Returns: (B, N, D).
  /// - Throws: ``OperationError/unevenHeads(width:heads:)`` or ``OperationError/headTooWide(headSize:limit:)``.
  package func attention(_ qkv: Tensor, heads: Int) throws -> Tensor {
    let plan = try AttentionPlan(qkv, heads: heads)
    let (output, logSumExp) = try plan.forward(qkv)
    guard needsGradient(qkv) else { return output }
    record(output) { gradient, gradients in
      try gradients.add(plan.backward(qkv, output, logSumExp, gradient), to: qkv)
    }
    return output
  }
}

/// Widest attention head that the kernels hold in registers and local memory.
let attentionHeadLimit = 128

/// How attention of one shape runs on one device.
struct AttentionPlan {
  let batch: Int
  let tokens: Int
  let heads: Int
  let headSize: Int
  let context: Context

  var width: Int { heads * headSize }
  var scale: Float { 1 / Float(headSize).squareRoot() }

  init(_ qkv: Tensor, heads: Int) throws {
    precondition(qkv.shape.count == 3 && qkv.width % 3 == 0, "(batch, tokens, 3 width)")
    let width = qkv.width / 3
    guard heads > 0, width % heads == 0 else { throw OperationError.unevenHeads(width: width, heads: heads) }
    guard width / heads <= attentionHeadLimit else {
      throw OperationError.headTooWide(headSize: width / heads, limit: attentionHeadLimit)
    }
    batch = qkv.shape[0]
    tokens = qkv.shape[1]
    self.heads = heads
    headSize = width / heads
    context = qkv.context
  }

  /// The output and the log-sum-exp (B, heads, N).
  func forward(_ qkv: Tensor) throws -> (output: Tensor, logSumExp: Tensor) {
    let output = try Tensor(empty: [batch, tokens, width], on: context)
    let logSumExp = try Tensor(empty: [batch, heads, tokens], on: context)
    let tiles = ForwardTiles(self)
    try context.run(
      kernel("attention_forward"), over: [batch * heads * tiles.chunks], group: [1], qkv.buffer,
      output.buffer,
      logSumExp.buffer, LocalMemory(floats: tiles.scratch), tokens, heads, tiles.tile, tiles.chunks,
      tiles.chunkQueries, scale)
    return (output, logSumExp)
  }

  /// The gradient of `qkv`.
  func backward(
    _ qkv: Tensor, _ output: Tensor, _ logSumExp: Tensor, _ gradient: Tensor
  ) throws -> Tensor {
    let result = try Tensor(empty: qkv.shape, on: context)
    let delta = try Tensor(empty: logSumExp.shape, on: context)
    let rows = batch * tokens
    try context.run(
      kernel("attention_delta"), over: [rows], group: [1], output.buffer, gradient.buffer, delta.buffer,
      tokens,
      heads, rows)
    let tiles = BackwardTiles(self)
    let partials =
      tiles.chunks == 1 ? result : try Tensor(empty: [tiles.chunks, batch, tokens, 2, width], on: context)
    try context.run(
      kernel("attention_backward"), over: [batch * heads * tiles.chunks], group: [1], qkv.buffer,
      gradient.buffer, logSumExp.buffer, delta.buffer, result.buffer, partials.buffer,
      LocalMemory(floats: tiles.scratch), batch, tokens, heads, tiles.tile, tiles.block, tiles.chunks,
      tiles.chunkQueries, scale)
    if tiles.chunks > 1 {
      try context.run(
        kernel("attention_reduce"), over: [rows], group: [1], partials.buffer, result.buffer, width,
        tiles.chunks,
        rows)
    }
    return result
  }

  private func kernel(_ function: String) -> KernelKey {
    KernelKey("attention", function, ["HEAD": headSize])
  }
}

/// Rows of the CPU kernels' register tile.
private let registerRows = 6

/// Tiles of the CPU's forward kernel.
private struct ForwardTiles {
  /// Keys at a time.
  let tile: Int
  /// Work-items that share the queries of a head.
  let chunks: Int
  /// Queries of a work-item.
  let chunkQueries: Int
  /// Floats of local memory.
  let scratch: Int

  init(_ plan: AttentionPlan) {
    let cpu = CPUShare(plan)
    chunks = cpu.chunks
    chunkQueries = cpu.chunkQueries
    let padded = roundUp(plan.headSize, 16)
    let queries = cpu.chunkQueries
    func floats(_ tile: Int) -> Int {
      (plan.headSize + padded + registerRows) * tile + 2 * registerRows * padded + 2 * queries
    }
    tile = cpu.tile(atMost: 256) { floats($0) }
    scratch = floats(tile)
  }
}

/// Tiles of the CPU's backward kernel.
private struct BackwardTiles {
  /// Keys at a time.
  let tile: Int
  /// Queries at a time.
  let block: Int
  /// Work-items that share the queries of a head.
  let chunks: Int
  /// Queries of a work-item.
  let chunkQueries: Int
  /// Floats of local memory.
  let scratch: Int

  init(_ plan: AttentionPlan) {
    let cpu = CPUShare(plan)
    chunks = cpu.chunks
    chunkQueries = cpu.chunkQueries
    let padded = roundUp(plan.headSize, 16)
    let block = plan.context.traits.localMemory < 128 << 10 ? registerRows : 8 * registerRows
    func floats(_ tile: Int) -> Int {
      (2 * plan.headSize + padded) * tile + 2 * padded * (tile + registerRows) + 2 * padded * block
        + 2 * block * (tile + registerRows) + registerRows * padded
    }
    self.block = block
    tile = cpu.tile(atMost: 128) { floats($0) }
    scratch = floats(tile)
  }
}

/// How the queries of a head are shared between work-items, so that every core has several.
private struct CPUShare {
  let tokens: Int
  let localFloats: Int
  let chunks: Int
  let chunkQueries: Int

  init(_ plan: AttentionPlan) {
    tokens = plan.tokens
    localFloats = plan.context.traits.localMemory / 4
    let wanted = max(1, 4 * plan.context.traits.computeUnits / (plan.batch * plan.heads))
    // Each chunk packs all keys again: below 48 queries that is no longer small beside its work.
    let queries = max(48, roundUp((plan.tokens + wanted - 1) / wanted, registerRows))
    chunkQueries = min(queries, 1020)
    chunks = (plan.tokens + chunkQueries - 1) / chunkQueries
  }

  /// The most even tiling of the keys with tiles of at most `most` whose scratch fits into local memory.
  func tile(atMost most: Int, floats: (Int) -> Int) -> Int {
    var limit = most
    while limit > 16 && floats(limit) > localFloats { limit -= 16 }
    let tiles = (tokens + limit - 1) / limit
    return roundUp((tokens + tiles - 1) / tiles, 16)
  }
}

private func roundUp(_ value: Int, _ step: Int) -> Int { (value + step - 1) / step * step }
