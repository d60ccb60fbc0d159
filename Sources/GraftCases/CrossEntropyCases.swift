import GraftOps
import GraftSystem

/// Cases of cross-entropy.
package enum CrossEntropyCases {
  /// One class, primes, large logits, smoothing.
  package static let checks: [OperationCase] =
    [
      (1, 1, 0, 1), (3, 2, 0, 1), (5, 17, 0.1, 1), (2, 64, 1, 1), (7, 131, 0.25, 200), (4, 5, 0.1, 10_000),
      (4, 70, 0.1, 1e-4),
    ]
    .map(make)
    + [make(rows: 1, classes: 21_843, smoothing: 0.1, range: 1, isDifferentiable: false)]
  /// Numbers of classes in rows that fill no group.
  package static let widths = [3, 16, 37, 100, 1000].map {
    make(rows: 5, classes: $0, smoothing: 0.1, range: 5)
  }
  /// A large head at batch 32.
  package static let benchmarks = [make(rows: 32, classes: 1000, smoothing: 0, range: 5)]

  private static func make(rows: Int, classes: Int, smoothing: Float, range: Float) -> OperationCase {
    make(rows: rows, classes: classes, smoothing: smoothing, range: range, isDifferentiable: true)
  }

  private static func make(
    rows: Int, classes: Int, smoothing: Float, range: Float, isDifferentiable: Bool
  ) -> OperationCase {
    let labels = (0..<rows).map { Int32($0 * 7919 % classes) }
    return OperationCase(
      "loss", "cross_entropy \(rows)x\(classes) smoothing \(smoothing) range \(range)",
      inputs: [.init([rows, classes], in: -range...range, differentiable: isDifferentiable)],
      terms: classes + rows, cost: .init(bytes: Double(4 * rows * classes)),
      forward: { tape, inputs in
        try tape.crossEntropy(
          inputs[0], labels: Tensor(indices: labels, on: inputs[0].context), smoothing: smoothing)
      },
      reference: { inputs in
        var loss = 0.0
        var magnitude = 1.0
        for row in 0..<rows {
          let x = inputs[0][row * classes..<(row + 1) * classes]
          let most = x.max() ?? 0
          let logSumExp = most + log(x.reduce(0) { $0 + exp($1 - most) })
          let label = x[row * classes + Int(labels[row])]
          let s = Double(smoothing)
          loss += logSumExp - (1 - s) * label - s * x.reduce(0, +) / Double(classes)
          magnitude += 2 * x.reduce(0) { max($0, abs($1)) }
        }
        return .init([loss / Double(rows)], magnitudes: [magnitude / Double(rows)])
      })
  }
}
