import GraftOps

/// Cases of transposing small matrices.
package enum TransposeCases {
  /// Vectors, square and oblong matrices, one and several, and more elements than one work-item takes.
  package static let checks = [(1, 1, 7), (3, 4, 4), (2, 3, 17), (5, 40, 33)].map(make)
  /// The slices of a rank-32 core.
  package static let benchmarks = [make(matrices: 3, rows: 32, columns: 32)]

  private static func make(matrices: Int, rows: Int, columns: Int) -> OperationCase {
    OperationCase(
      "transpose", "\(matrices)x\(rows)x\(columns)",
      inputs: [.init([matrices, rows, columns], differentiable: true)], terms: 1,
      cost: .init(bytes: Double(8 * matrices * rows * columns)),
      forward: { tape, inputs in try tape.transposed(inputs[0]) },
      reference: { inputs in
        .init(
          (0..<matrices * rows * columns).map { index in
            let matrix = index / (rows * columns)
            let (column, row) = (index / rows % columns, index % rows)
            return inputs[0][(matrix * rows + row) * columns + column]
          })
      })
  }
}
