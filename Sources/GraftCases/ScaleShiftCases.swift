import GraftOps

/// Cases of a scale and a shift of each channel.
package enum ScaleShiftCases {
  /// Each part alone and both; one row and more rows than a slice; widths below, at and beyond a vector.
  package static let checks = [(1, 1), (3, 16), (5, 37), (150, 23)].flatMap { rows, width in
    [[.scale], [.shift], [.scale, .shift], [.shift, .origin], all].map {
      make(rows: rows, width: width, parts: $0)
    }
  }
  /// Widths of models, and odd ones, in rows that fill no group.
  package static let widths = [1, 3, 16, 37, 192, 768, 4096].map { make(rows: 5, width: $0, parts: all) }
  /// The hidden layer of ViT-B at batch 8.
  package static let benchmarks = [make(rows: 1576, width: 3072, parts: [.scale, .shift])]

  private enum Part: String { case scale, shift, origin }
  private static let all: [Part] = [.scale, .shift, .origin]

  private static func make(rows: Int, width: Int, parts: [Part]) -> OperationCase {
    /// The operands' places behind the input.
    func position(_ part: Part) -> Int? { parts.firstIndex(of: part).map { $0 + 1 } }
    let (scale, shift, origin) = (position(.scale), position(.shift), position(.origin))
    return OperationCase(
      "scale_shift", "\(rows)x\(width) \(parts.map(\.rawValue).joined(separator: "+"))",
      inputs: [.init([rows, width], differentiable: true)]
        + parts.map { .init([width], differentiable: $0 == .scale || $0 == .shift) },
      terms: max(4, rows), cost: .init(macs: Double(rows * width), bytes: Double(8 * rows * width)),
      // Twice, so that a second gradient meets the first.
      forward: { tape, inputs in
        func operand(_ index: Int?) -> Tensor? { index.map { inputs[$0] } }
        func once(_ x: Tensor) throws -> Tensor {
          try tape.scaleShift(x, scale: operand(scale), shift: operand(shift), from: operand(origin))
        }
        let x = tape.reshape(inputs[0], to: [rows, width])
        return try tape.add(once(x), once(once(x)))
      },
      reference: { inputs in
        func value(_ index: Int?, _ channel: Int, _ absent: Double) -> Double {
          index.map { inputs[$0][channel] } ?? absent
        }
        let values = inputs[0].enumerated().map { index, x in
          let channel = index % width
          func once(_ x: Double) -> Double {
            x * value(scale, channel, 1) + (value(shift, channel, 0) - value(origin, channel, 0))
          }
          return once(x) + once(once(x))
        }
        return .init(values, magnitudes: [Double](repeating: 4, count: values.count))
      })
  }
}
