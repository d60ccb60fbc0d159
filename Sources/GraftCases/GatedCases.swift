import GraftOps

/// Cases of gated units, of two halves and of two matrices.
package enum GatedCases {
  /// Widths below, at and beyond a vector; one row and more than an item takes; every gradient wanted or not.
  package static let checks: [OperationCase] =
    [(1, 1), (3, 16), (19, 37)].flatMap { rows, width in
      [make(.silu, rows: rows, width: width), make(.silu, rows: rows, width: width, isSplit: true)]
    } + ActivationCases.kinds.map { make($0, rows: 5, width: 23, range: 0.5...3) }
    + [
      make(.gelu, rows: 5, width: 20, isSplit: true, differentiable: (true, false)),
      make(.gelu, rows: 5, width: 20, isSplit: true, differentiable: (false, true)),
      make(.silu, rows: 3, width: 33, isSplit: true, uses: 2), make(.silu, rows: 3, width: 33, uses: 2),
    ]
  /// The hidden layers of DINOv3's ViT-S+ and EVA-02's ViT-B at batch 8.
  package static let benchmarks = [
    make(.silu, rows: 1608, width: 1536), make(.silu, rows: 1576, width: 2048, isSplit: true),
  ]

  private static func make(
    _ kind: Activation, rows: Int, width: Int, isSplit: Bool = false, range: ClosedRange<Float> = -3...3,
    differentiable: (Bool, Bool) = (true, true), uses: Int = 1
  ) -> OperationCase {
    let inputs: [OperationCase.Input] =
      isSplit
      ? [
        .init([rows, width], in: range, differentiable: differentiable.0),
        .init([rows, width], differentiable: differentiable.1),
      ] : [.init([rows, 2 * width], in: range, differentiable: true)]
    return OperationCase(
      "activation",
      "gated \(kind) \(rows)x\(width)" + (isSplit ? " split" : "") + (uses > 1 ? " twice" : "")
        + (differentiable.0 ? "" : " frozen gate") + (differentiable.1 ? "" : " frozen value"),
      inputs: inputs, terms: 4, cost: .init(bytes: Double(12 * rows * width)),
      forward: { tape, inputs in
        // Reshaped, so that a sum so far belongs to an intermediate tensor.
        let operands = inputs.map { tape.reshape($0, to: $0.shape) }
        func once() throws -> Tensor {
          try isSplit ? tape.gated(operands[0], operands[1], kind) : tape.gated(operands[0], kind)
        }
        return uses > 1 ? try tape.add(once(), once()) : try once()
      },
      reference: { inputs in
        var values: [Double] = []
        var magnitudes: [Double] = []
        for row in 0..<rows {
          for column in 0..<width {
            let gate = inputs[0][isSplit ? row * width + column : 2 * row * width + column]
            let value = isSplit ? inputs[1][row * width + column] : inputs[0][(2 * row + 1) * width + column]
            values.append(Double(uses) * ActivationCases.value(kind, of: gate) * value)
            magnitudes.append(Double(uses) * max(abs(gate), 0.05) * abs(value))
          }
        }
        return .init(values, magnitudes: magnitudes)
      })
  }
}
