import GraftOps

/// Cases of batch normalisation in training; inference is a property test.
package enum BatchNormCases {
  /// Few rows, primes, and every width of vector. (Of two rows the input gradient is nothing but rounding.)
  package static let checks =
    [
      (3, 1, 1), (4, 8, 1), (7, 5, 2), (17, 16, 2), (5, 33, 1), (64, 4, 1), (131, 8, 2),
    ]
    .map { make(rows: $0, channels: $1, uses: $2) } + [
      make(rows: 65, channels: 8, uses: 1, range: -10_000...10_000),
      make(rows: 65, channels: 8, uses: 1, range: -1e-4...1e-4),
      make(rows: 65, channels: 8, uses: 1, range: 9_990...10_010),
    ]
  /// Widths that fill no group and more than one.
  package static let widths = [1, 3, 8, 37, 192].map { make(rows: 37, channels: $0, uses: 1) }
  /// ILA's bottleneck on ViT-B at batch 8.
  package static let benchmarks = [make(rows: 1576, channels: 8, uses: 1)]

  private static func make(
    rows: Int, channels: Int, uses: Int, range: ClosedRange<Float> = -1...3
  ) -> OperationCase {
    OperationCase(
      "batch_norm",
      "\(rows)x\(channels)" + (range == -1...3 ? "" : " in \(range)") + (uses > 1 ? " twice" : ""),
      inputs: [
        .init([rows, channels], in: range, differentiable: true),
        .init([channels], in: 0.5...1.5, differentiable: true),
        .init([channels], differentiable: true),
      ],
      terms: 4 * rows, cost: .init(bytes: Double(8 * rows * channels)),
      forward: { tape, inputs in
        // The oracle is that of training, in both modes.
        let tape = tape.isTraining ? tape : Tape(.training(seed: 7))
        let context = inputs[0].context
        func once(_ x: Tensor) throws -> Tensor {
          try tape.batchNorm(
            x, weight: inputs[1], bias: inputs[2],
            running: BatchNormStatistics(channels: channels, on: context))
        }
        guard uses > 1 else { return try once(inputs[0]) }
        let shared = tape.reshape(inputs[0], to: [rows, channels])
        return try tape.add(once(shared), once(shared))
      },
      reference: { inputs in
        var values = [Double](repeating: 0, count: rows * channels)
        var magnitudes = values
        for c in 0..<channels {
          let column = (0..<rows).map { inputs[0][$0 * channels + c] }
          let mean = column.reduce(0, +) / Double(rows)
          let variance = column.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(rows)
          let inverse = 1 / (variance + 1e-5).squareRoot()
          for (row, value) in column.enumerated() {
            let normal = (value - mean) * inverse
            values[row * channels + c] = Double(uses) * (normal * inputs[1][c] + inputs[2][c])
            magnitudes[row * channels + c] = Double(uses) * (4 * (abs(normal) + 1) + 1)
          }
        }
        return .init(values, magnitudes: magnitudes)
      })
  }
}
