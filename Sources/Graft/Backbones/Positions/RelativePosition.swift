import GraftOps
import GraftRuntime

/// What attention adds to its scores for relative positions, made for each layout of the tokens that comes by.
///
/// Prompts have no positions: they add nothing.
final class RelativePosition {
  private let shape: Attention.RelativePositions
  private let heads: Int
  private let table: [Float]
  private let resampling: PositionResampling
  private let context: Context
  private var made: [TokenLayout: Tensor] = [:]

  init(
    _ shape: Attention.RelativePositions, heads: Int, resampling: PositionResampling,
    _ reader: inout WeightReader, on context: Context
  ) throws {
    self.shape = shape
    self.heads = heads
    self.resampling = resampling
    self.context = context
    table = try reader.values(shape.table)
  }

  /// (heads, tokens, tokens).
  func bias(of layout: TokenLayout) throws -> Tensor {
    if let bias = made[layout] { return bias }
    // On the device first, whose limit is an error where the host's would be the end.
    let bias = try Tensor(empty: [heads, layout.count, layout.count], on: context)
    // Cells that were cut off change no offset: the table is that of the image's whole grid.
    let frame = Grid(rows: layout.grid.rows + 2 * layout.cut, columns: layout.grid.columns + 2 * layout.cut)
    let table = PositionEmbedding.resample(
      relative: table, from: shape.side, to: frame, dimension: heads, convention: resampling)
    let (tokens, span) = (layout.count, 2 * frame.columns - 1)
    let offsets = (2 * frame.rows - 1) * span
    /// The table's row for a pair; `nil` where a prompt is one of it.
    func row(_ query: Int, _ key: Int) -> Int? {
      switch (cell(query), cell(key)) {
      case (let q?, let k?):
        (q.row - k.row + frame.rows - 1) * span + q.column - k.column + frame.columns - 1
      case (nil, _?): query < layout.prefix ? offsets : nil
      case (_?, nil): key < layout.prefix ? offsets + 1 : nil
      case (nil, nil): query < layout.prefix && key < layout.prefix ? offsets + 2 : nil
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
    try bias.assign(values)
    made[layout] = bias
    return bias
  }
}
