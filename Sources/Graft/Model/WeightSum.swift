/// A frozen weight plus low-rank products, in float64 and rounded once.
struct WeightSum {
  private var sums: [Double]
  private let inputs: Int

  /// - Parameters:
  ///   - weight: (outputs, inputs), row-major.
  ///   - inputs: columns of the weight.
  init(_ weight: [Float], inputs: Int) {
    sums = weight.map(Double.init)
    self.inputs = inputs
  }

  /// Adds `scale * up down` into the rows from `row` and the columns from `column`.
  ///
  /// - Parameters:
  ///   - scale: on the product.
  ///   - up: (rows, rank).
  ///   - down: (rank, columns).
  ///   - rank: what both have in common.
  ///   - row: of the weight, the first.
  ///   - column: of the weight, the first.
  mutating func add(
    _ scale: Double, _ up: [Double], times down: [Double], rank: Int, row: Int, column: Int
  ) {
    let columns = down.count / rank
    for offset in 0..<up.count / rank {
      let start = (row + offset) * inputs + column
      for inner in 0..<rank {
        let factor = scale * up[offset * rank + inner]
        for j in 0..<columns { sums[start + j] += factor * down[inner * columns + j] }
      }
    }
  }

  /// The sum.
  var values: [Float] { sums.map { Float($0) } }
}
