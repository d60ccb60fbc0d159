import GraftOps

/// Cases of the linear layer in groups.
package enum GroupedLinearCases {
  /// One group and several, one channel a group and several, a layer that is used twice.
  package static let checks: [OperationCase] = [
    make(rows: 1, inputs: 1, outputs: 1, groups: 1), make(rows: 3, inputs: 4, outputs: 10, groups: 2),
    make(rows: 17, inputs: 6, outputs: 33, groups: 3, hasBias: false),
    make(rows: 70, inputs: 8, outputs: 64, groups: 2, uses: 2),
    make(rows: 5, inputs: 7, outputs: 7, groups: 7, uses: 2),
  ]
  /// RepAdapter's second layer on ViT-B at batch 8.
  package static let benchmarks = [make(rows: 1576, inputs: 8, outputs: 768, groups: 2)]

  private static func make(
    rows: Int, inputs: Int, outputs: Int, groups: Int, hasBias: Bool = true, uses: Int = 1
  ) -> OperationCase {
    let part = inputs / groups
    var operands: [OperationCase.Input] = [
      .init([rows, inputs], differentiable: true), .init([outputs, part], differentiable: true),
    ]
    if hasBias { operands.append(.init([outputs], differentiable: true)) }
    return OperationCase(
      "grouped_linear",
      "\(rows)x\(inputs)->\(outputs) in \(groups)" + (hasBias ? " bias" : "") + (uses > 1 ? " twice" : ""),
      inputs: operands, terms: part + rows,
      cost: .init(
        macs: Double(rows * outputs * part), bytes: Double(4 * (rows * (inputs + outputs) + outputs * part))),
      forward: { tape, inputs in
        func once() throws -> Tensor {
          try tape.groupedLinear(
            inputs[0], weight: inputs[1], bias: hasBias ? inputs[2] : nil, groups: groups)
        }
        return uses > 1 ? try tape.add(once(), once()) : try once()
      },
      reference: { values in
        var result = [Double](repeating: 0, count: rows * outputs)
        var magnitudes = result
        for row in 0..<rows {
          for output in 0..<outputs {
            var terms = (0..<part).map { index in
              let input = output / (outputs / groups) * part + index
              return values[0][row * inputs + input] * values[1][output * part + index]
            }
            if hasBias { terms.append(values[2][output]) }
            result[row * outputs + output] = Double(uses) * terms.reduce(0, +)
            magnitudes[row * outputs + output] = Double(uses) * terms.reduce(0) { $0 + abs($1) }
          }
        }
        return .init(result, magnitudes: magnitudes)
      })
  }
}
