import GraftOps
import GraftRuntime

/// What attention adds to its scores for relative positions, made for each layout of the tokens that comes by.
///
/// Prompts have no positions: they add nothing.
final class RelativePosition {
  private let shape: Attention.RelativePositions
  private let heads: Int
  private let table: [Float]
  private let context: Context
  private var made: [TokenLayout: Tensor] = [:]

  init(_ shape: Attention.RelativePositions, heads: Int, _ reader: inout WeightReader, on context: Context)
    throws
  {
    self.shape = shape
    self.heads = heads
    self.context = context
    table = try reader.values(shape.table)
  }

  /// (heads, tokens, tokens).
  func bias(of layout: TokenLayout) throws -> Tensor {
    if let bias = made[layout] { return bias }
    let (side, tokens, span) = (shape.side, layout.count, 2 * shape.side - 1)
    /// The table's row for a pair; `nil` where a prompt is one of it.
    func row(_ query: Int, _ key: Int) -> Int? {
      switch (cell(query), cell(key)) {
      case (let q?, let k?): (q.row - k.row + side - 1) * span + q.column - k.column + side - 1
      case (nil, _?): query < layout.prefix ? span * span : nil
      case (_?, nil): key < layout.prefix ? span * span + 1 : nil
      case (nil, nil): query < layout.prefix && key < layout.prefix ? span * span + 2 : nil
      }
    }
    func cell(_ token: Int) -> (row: Int, column: Int)? {
      guard token >= layout.front else { return nil }
      let (row, column) = (token - layout.front).quotientAndRemainder(dividingBy: layout.grid.columns)
      return (row, column)
    }
    var values = [Float](repeating: 0, count: heads * tokens * tokens)
    for query in 0..<tokens {
      for key in 0..<tokens {
        guard let row = row(query, key) else { continue }
        for head in 0..<heads { values[(head * tokens + query) * tokens + key] = table[row * heads + head] }
      }
    }
    let bias = try Tensor(values, shape: [heads, tokens, tokens], on: context)
    made[layout] = bias
    return bias
  }
}
