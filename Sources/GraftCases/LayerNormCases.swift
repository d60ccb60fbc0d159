import GraftOps

/// Cases of layer normalisation.
package enum LayerNormCases {
  /// Small shapes with every kind of tail.
  package static let checks =
    [(1, 5), (3, 7), (5, 16), (2, 33), (7, 64), (4, 1031)].flatMap { rows, width in
      [[], [0], [1], [0, 1]].map { make(rows: rows, width: width, trained: $0) }
    } + [
      // What single channels of large transformers really reach, and what hardly differs from epsilon.
      make(rows: 5, width: 70, range: -10_000...10_000, trained: [0, 1]),
      make(rows: 5, width: 70, range: -1e-4...1e-4, trained: [0, 1]),
      make(rows: 5, width: 70, range: 9_990...10_010, trained: [0, 1]),
    ]
  /// Widths of models, and odd ones, in rows that fill no group.
  ///
  /// Of one channel the gradient is zero, and what is computed is a product's rounding error: it is not compared.
  package static let widths =
    [3, 16, 37, 192, 384, 768, 1024, 1536, 4096].map { make(rows: 5, width: $0, trained: [0, 1]) }
    + [make(rows: 5, width: 1, trained: [], isDifferentiable: false)]
  /// The token matrices of ViT-B at batch 8.
  package static let benchmarks = [[], [0, 1]].map { make(rows: 1576, width: 768, trained: $0) }

  /// `trained`: which of scale (0) and shift (1) are.
  private static func make(
    rows: Int, width: Int, range: ClosedRange<Float> = -1...3, trained: [Int], isDifferentiable: Bool = true
  ) -> OperationCase {
    OperationCase(
      "layer_norm",
      "\(rows)x\(width)" + (range == -1...3 ? "" : " in \(range)")
        + trained.map { $0 == 0 ? " trained scale" : " trained shift" }.joined(),
      inputs: [
        .init([rows, width], in: range, differentiable: isDifferentiable),
        .init([width], in: 0.5...1.5, differentiable: trained.contains(0)),
        .init([width], differentiable: trained.contains(1)),
      ],
      terms: max(rows, width), cost: .init(bytes: Double(8 * rows * width)),
      forward: { tape, inputs in
        try tape.layerNorm(inputs[0], weight: inputs[1], bias: inputs[2], epsilon: 1e-6)
      },
      reference: { reference($0[0], weight: $0[1], bias: $0[2], epsilon: 1e-6) })
  }

  /// Rows as wide as the weight, which is in 0.5...1.5, and the bias in -1...1.
  static func reference(
    _ x: [Double], weight: [Double], bias: [Double], epsilon: Double
  ) -> OperationCase.Expected {
    let width = weight.count
    var values: [Double] = []
    var magnitudes: [Double] = []
    for start in stride(from: 0, to: x.count, by: width) {
      let x = x[start..<start + width]
      let mean = x.reduce(0, +) / Double(width)
      let variance = x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width)
      let inverse = 1 / (variance + epsilon).squareRoot()
      for (column, value) in x.enumerated() {
        let normal = (value - mean) * inverse
        values.append(normal * weight[column] + bias[column])
        magnitudes.append(4 * (abs(normal) + 1) + 1)
      }
    }
    return .init(values, magnitudes: magnitudes)
  }
}
