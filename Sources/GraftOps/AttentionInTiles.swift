import GraftRuntime

/// Attention in register tiles out of local memory, on any device: a pass for the queries' gradient and one for that of
/// keys and values, so that nothing needs atomics.
struct AttentionInTiles: AttentionKernels {
  private let shape: AttentionShape
  private let context: Context
  private let bias: AttentionBias?

  init(_ shape: AttentionShape, _ context: Context, bias: AttentionBias?) {
    self.shape = shape
    self.context = context
    self.bias = bias
  }

  func forward(_ qkv: Tensor) throws -> (output: Tensor, logSumExp: Tensor) {
    let output = try Tensor(empty: [shape.batch, shape.queries, shape.width], on: context)
    let logSumExp = try Tensor(empty: [shape.batch, shape.heads, shape.queries], on: context)
    try run(.forward, rows: shape.queries, [qkv.buffer, output.buffer, logSumExp.buffer])
    return (output, logSumExp)
  }

  func backward(_ qkv: Tensor, _ output: Tensor, _ logSumExp: Tensor, _ gradient: Tensor) throws -> Tensor {
    let result = try Tensor(empty: qkv.shape, on: context)
    // The first pass leaves in it what the second reads.
    let delta = try Tensor(empty: logSumExp.shape, on: context)
    for (pass, rows) in [(AttentionTile.Pass.queries, shape.queries), (.keys, shape.tokens)] {
      try run(
        pass, rows: rows,
        [qkv.buffer, output.buffer, gradient.buffer, logSumExp.buffer, delta.buffer, result.buffer])
    }
    return result
  }

  /// - Parameter rows: of one head, which the groups share.
  private func run(_ pass: AttentionTile.Pass, rows: Int, _ arguments: [any KernelArgument]) throws {
    var tile = tile(pass)
    // A driver may allow a kernel fewer items than the device when it takes many registers, and take more local memory
    // for it than its arrays hold.
    while try context.maxGroup(of: kernel(pass, tile)) < tile.items, tile.shrinkGroup() {}
    let limit = context.traits.localMemory
    while try context.localMemory(of: kernel(pass, tile)) > limit, tile.shrinkMemory() {}
    let groups = shape.batch * shape.heads * ((rows + tile.rows - 1) / tile.rows)
    try context.run(
      kernel(pass, tile), over: [groups * tile.items], group: [tile.items],
      arguments: arguments + [shape.tokens, shape.queries, shape.heads, shape.scale] + bias.arguments)
  }

  private func kernel(_ pass: AttentionTile.Pass, _ tile: AttentionTile) -> KernelKey {
    let function =
      switch pass {
      case .forward: "attention_forward_tiles"
      case .queries: "attention_backward_queries"
      case .keys: "attention_backward_keys"
      }
    let macros: [KernelKey.Macro] = [
      .init("PASS", pass.rawValue), .init("HEAD", shape.headSize), .init("ROWS", tile.rows),
      .init("OTHERS", tile.others), .init("PER_ITEM", tile.perItem), .init("ACROSS", tile.across),
      .init("COLUMNS", tile.columns), .init("PART", tile.part), .init("AHEAD", tile.ahead),
    ]
    let traits = context.traits
    var key = KernelKey("attention_tiles", function, macros: macros + traits.narrowWaveMacros + bias.macros)
    // Both sums of a key and a quad of each operand are more than 128 registers hold, and so are the sums of a wide head.
    key.takesLargeRegisterFile =
      traits.hasLargeRegisterFiles && (pass == .keys || shape.headSize > 64 || bias != nil)
    return key
  }

  /// The device's tile of a pass, fitted to the head, the device's work-group size and its local memory.
  private func tile(_ pass: AttentionTile.Pass) -> AttentionTile {
    let traits = context.traits
    var tile = context.tuning.attention.tiles(on: traits)[pass]
    // An item's sums of a wide head take half of its rows' registers each, and a key's twice as many.
    if shape.headSize > 64, tile.perItem == 8 {
      (tile.perItem, tile.rows) = (4, max(4, tile.rows / 2))
    } else if shape.headSize > 64, pass == .keys, tile.across == 8 {
      (tile.across, tile.others) = (16, max(64, tile.others))
      tile.rows = max(tile.perItem, tile.rows / 2)
    }
    // Of 8 columns PoCL 3.1 makes wrong code where all of a head and of the other side are taken at a time.
    while tile.columns > 16, tile.columns / 2 >= shape.headSize { tile.columns /= 2 }
    while tile.items > traits.largestGroup, tile.shrinkGroup() {}
    while tile.localBytes(pass, headSize: shape.headSize) > traits.localMemory, tile.shrinkMemory() {}
    return tile
  }
}
