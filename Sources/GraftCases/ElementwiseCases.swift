import GraftOps

/// Cases of sums and scalings.
package enum ElementwiseCases {
  /// Tails, several work-items, and an input that enters twice.
  package static let checks: [OperationCase] = [
    scaledSum(count: 1, by: 2), scaledSum(count: 37, by: -0.1), scaledSum(count: 4096 + 17, by: 0),
  ]
  /// Counts around a group's.
  package static let widths = [3, 255, 256, 258, 1024].map { scaledSum(count: $0, by: 3) }
  /// The tokens of ViT-B at batch 8.
  package static let benchmarks = [scaledSum(count: 1576 * 768, by: 0.1)]

  /// `a + factor * b + b`.
  private static func scaledSum(count: Int, by factor: Float) -> OperationCase {
    OperationCase(
      "elementwise", "\(count) scaled by \(factor)",
      inputs: [.init([count], differentiable: true), .init([count], differentiable: true)], terms: 3,
      cost: .init(bytes: Double(12 * count)),
      forward: { tape, inputs in
        try tape.add(tape.add(inputs[0], tape.scale(inputs[1], by: factor)), inputs[1])
      },
      reference: { inputs in
        .init(
          zip(inputs[0], inputs[1]).map { $0 + (Double(factor) + 1) * $1 },
          magnitudes: zip(inputs[0], inputs[1]).map { abs($0) + (abs(Double(factor)) + 1) * abs($1) })
      })
  }
}
