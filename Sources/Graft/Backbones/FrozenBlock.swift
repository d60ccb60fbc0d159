import GraftOps

/// A block on the device: its parts one after another, with what stands before and behind them.
struct FrozenBlock {
  let shape: Block
  let parts: [FrozenPart]

  init(_ block: Block, depth: Int, _ shared: FrozenPart.Shared, _ reader: inout WeightReader) throws {
    shape = block
    parts = try block.parts.map { try FrozenPart($0, depth: depth, shared, &reader) }
  }

  /// - Parameter kept: what is read of the result; where those are the first tokens, and nothing behind the first part
  ///   mixes tokens, they alone ask there and go on, which changes no bit of them.
  func callAsFunction(_ tokens: Tokens, keeping kept: KeptTokens, _ pass: Pass) throws -> Tokens {
    let kept = kept == .all || pass.sites.areTokenwise(behindFirstPartOf: shape) ? kept : .all
    var stream = try pass.sites.apply(at: .beforeBlock(shape.index), to: tokens, on: pass.tape)
    for (number, part) in parts.enumerated() {
      stream = try part(stream, keeping: number == 0 ? kept : .all, pass)
    }
    return try pass.sites.apply(at: .afterBlock(shape.index), to: stream, on: pass.tape)
  }
}
