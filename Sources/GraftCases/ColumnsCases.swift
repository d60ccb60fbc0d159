import GraftOps

/// Cases of adding a narrower tensor into columns of a wider one.
package enum ColumnsCases {
  /// All columns, the first, some in the middle, the last; one column; widths below, at and beyond a vector.
  package static let checks = [
    (1, 1, 0, 1), (3, 16, 0, 16), (9, 37, 0, 37), (9, 48, 0, 16), (5, 70, 21, 33), (3, 40, 39, 1),
  ].map { make(rows: $0, width: $1, from: $2, count: $3) }
  /// The values' third of ViT-B's fused projection at batch 8.
  package static let benchmarks = [make(rows: 1576, width: 2304, from: 1536, count: 768)]

  private static func make(rows: Int, width: Int, from: Int, count: Int) -> OperationCase {
    OperationCase(
      "columns", "\(rows)x\(width)[\(from)..<\(from + count)]",
      inputs: [
        .init([rows, width], differentiable: true), .init([rows, count], differentiable: true),
      ],
      terms: 4, cost: .init(macs: Double(rows * count), bytes: Double(8 * rows * width)),
      // Twice, so that a second gradient meets the first.
      forward: { tape, inputs in
        let added = tape.reshape(inputs[1], to: [rows, count])
        let once = try tape.addColumns(added, to: inputs[0], from: from, scale: 0.5)
        return try tape.addColumns(added, to: once, from: from, scale: 2)
      },
      reference: { inputs in
        let values = inputs[0].enumerated().map { index, x in
          let column = index % width - from
          guard (0..<count).contains(column) else { return x }
          return x + 2.5 * inputs[1][index / width * count + column]
        }
        return .init(values, magnitudes: [Double](repeating: 4, count: values.count))
      })
  }
}
