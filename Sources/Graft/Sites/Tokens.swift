package import GraftOps

/// A batch of token sequences.
package struct Tokens {
  /// (B, layout.count, D).
  package let values: Tensor
  /// What an image is.
  package let layout: TokenLayout

  package init(_ values: Tensor, _ layout: TokenLayout) {
    self.values = values
    self.layout = layout
  }

  /// Other values in the same places.
  package func with(_ values: Tensor) -> Tokens { Tokens(values, layout) }

  /// The first tokens alone.
  func first(_ count: Int, on tape: Tape) throws -> Tokens {
    var layout = layout
    (layout.prefix, layout.prompts, layout.grid) = (count, 0, Grid(rows: 0, columns: 0))
    return Tokens(try tape.sliceTokens(values, from: 0, count: count), layout)
  }
}

/// What a part reads of a batch, and a module beside it: tokens that may be behind a norm.
package struct Reading {
  let rows: LinearInput
  let layout: TokenLayout

  init(_ rows: LinearInput, _ layout: TokenLayout) {
    self.rows = rows
    self.layout = layout
  }

  init(_ tokens: Tokens) { self.init(.rows(tokens.values), tokens.layout) }

  /// The same in memory.
  func tokens() throws -> Tokens { Tokens(try rows.tensor(), layout) }

  func first(_ count: Int, on tape: Tape) throws -> Reading { Reading(try tokens().first(count, on: tape)) }
}
