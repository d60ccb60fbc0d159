/// Position embeddings for another image size than the backbone was trained on.
public enum PositionEmbedding {
  /// Resamples a grid as PyTorch's `interpolate` does.
  ///
  /// Each output is a weighted sum over rows, then over columns: `y[i, j, :] = sum_b v[j, b] * sum_a u[i,
  /// a] * x[a, b, :]`, with `u` and `v` from the convention. Sums are in double precision. A grid that has
  /// the new size already is returned as it is.
  ///
  /// - Parameters:
  ///   - values: The grid in row-major order, `old.count * dimension` values; tokens without a place in the
  ///     grid (CLS) are not part of it.
  ///   - old: The grid's size.
  ///   - new: The size wanted.
  ///   - dimension: Length of one embedding.
  ///   - convention: Whose resampling.
  /// - Returns: `new.count * dimension` values in row-major order.
  public static func resample(
    _ values: [Float], from old: Grid, to new: Grid, dimension: Int, convention: PositionResampling
  ) -> [Float] {
    if old == new { return values }
    return blend(
      values, from: old, dimension: dimension, rows: convention.taps(from: old.rows, to: new.rows),
      columns: convention.taps(from: old.columns, to: new.columns))
  }

  /// Resamples a table of relative positions: a row for each offset of two cells of a square grid, `(2 side - 1)^2` of
  /// them, then rows that belong to no offset, which are kept.
  ///
  /// - Parameters:
  ///   - values: The table in row-major order.
  ///   - side: Side of the grid that it was made for.
  ///   - new: The grid whose offsets are wanted.
  ///   - dimension: Length of a row.
  ///   - convention: Whose resampling.
  /// - Returns: `(2 new.rows - 1) (2 new.columns - 1)` rows and those that were kept.
  public static func resample(
    relative values: [Float], from side: Int, to new: Grid, dimension: Int, convention: PositionResampling
  ) -> [Float] {
    if new == Grid(side: side) { return values }
    let old = Grid(side: 2 * side - 1)
    let (offsets, rest) = (values.prefix(old.count * dimension), values.dropFirst(old.count * dimension))
    func taps(_ cells: Int) -> [[PositionResampling.Tap]] {
      convention == .geometric
        ? OffsetProgression(from: side, to: cells).taps
        : convention.taps(from: old.rows, to: 2 * cells - 1)
    }
    return blend(
      Array(offsets), from: old, dimension: dimension, rows: taps(new.rows), columns: taps(new.columns))
      + rest
  }

  /// Weighted sums of a grid's rows, then of its columns.
  private static func blend(
    _ values: [Float], from old: Grid, dimension: Int, rows: [[PositionResampling.Tap]],
    columns: [[PositionResampling.Tap]]
  ) -> [Float] {
    precondition(dimension > 0 && values.count == old.count * dimension, "values do not fill the grid")
    let input = values.map(Double.init)
    let new = Grid(rows: rows.count, columns: columns.count)

    let line = old.columns * dimension
    var tall = [Double](repeating: 0, count: new.rows * line)
    for (i, taps) in rows.enumerated() {
      for tap in taps {
        for k in 0..<line { tall[i * line + k] += tap.weight * input[tap.index * line + k] }
      }
    }
    var output = [Double](repeating: 0, count: new.count * dimension)
    for i in 0..<new.rows {
      for (j, taps) in columns.enumerated() {
        let target = (i * new.columns + j) * dimension
        for tap in taps {
          let source = i * line + tap.index * dimension
          for k in 0..<dimension { output[target + k] += tap.weight * tall[source + k] }
        }
      }
    }
    return output.map(Float.init)
  }
}
