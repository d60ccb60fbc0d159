import GraftOps

/// Cases of the norm of queries and keys.
package enum HeadNormCases {
  /// Heads below, of and beyond whole vectors, with and without biases.
  package static let checks: [OperationCase] = [
    make(rows: 1, heads: 1, headSize: 2), make(rows: 3, heads: 2, headSize: 16, uses: 2),
    make(rows: 5, heads: 3, headSize: 20, hasBias: false), make(rows: 29, heads: 2, headSize: 64),
    make(rows: 4, heads: 1, headSize: 80, uses: 2),
  ]
  /// ViT-B at batch 8.
  package static let benchmarks = [make(rows: 1576, heads: 12, headSize: 64)]

  private static func make(
    rows: Int, heads: Int, headSize: Int, hasBias: Bool = true, uses: Int = 1
  ) -> OperationCase {
    let width = 3 * heads * headSize
    func numbers(_ part: Int, from least: Float) -> [Float] {
      (0..<headSize).map { channel in least + Float((7 * channel + 3 * part) % 16) / 16 }
    }
    let weights = [numbers(0, from: 0.5), numbers(1, from: 0.5)]
    let biases = [numbers(2, from: -0.5), numbers(3, from: -0.5)]
    return OperationCase(
      "head_norm",
      "\(rows)x\(heads)x\(headSize)" + (hasBias ? "" : " no bias") + (uses > 1 ? " twice" : ""),
      inputs: [.init([1, rows, width], in: -1...3, differentiable: true)], terms: headSize,
      cost: .init(bytes: Double(8 * rows * width)),
      prepared: { context in
        let norm = try HeadNormWeights(
          queries: (weights[0], hasBias ? biases[0] : nil), keys: (weights[1], hasBias ? biases[1] : nil),
          epsilon: 1e-3, on: context)
        return { tape, inputs in
          // Reshaped, so that a second gradient meets the first.
          let input = tape.reshape(inputs[0], to: [1, rows, width])
          func once() throws -> Tensor { try tape.headNorm(input, norm, heads: heads) }
          return uses > 1 ? try tape.add(once(), once()) : try once()
        }
      },
      reference: { inputs in
        var values: [Double] = []
        var magnitudes: [Double] = []
        for head in 0..<rows * 3 * heads {
          let (x, part) = (inputs[0][head * headSize..<(head + 1) * headSize], head / heads % 3)
          let mean = x.reduce(0, +) / Double(headSize)
          let variance = x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(headSize)
          for (channel, value) in x.enumerated() {
            let normal = (value - mean) / (variance + 1e-3).squareRoot()
            var result = value
            if part < 2 { result = normal * Double(weights[part][channel]) }
            if part < 2, hasBias { result += Double(biases[part][channel]) }
            values.append(Double(uses) * result)
            magnitudes.append(Double(uses) * (4 * (abs(normal) + 1) + 3))
          }
        }
        return .init(values, magnitudes: magnitudes)
      })
  }
}
