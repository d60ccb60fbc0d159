import GraftOps
import GraftSystem

/// Cases of rotary positions.
package enum RotaryCases {
  /// No, one and several tokens in front; heads narrower than a vector, of whole vectors and of none.
  package static let checks: [OperationCase] = RotaryForm.allCases.flatMap { form in
    [
      make(form, batch: 1, front: 0, cells: 1, heads: 1, headSize: 2),
      make(form, batch: 2, front: 1, cells: 3, heads: 2, headSize: 4, uses: 2),
      make(form, batch: 1, front: 5, cells: 6, heads: 3, headSize: 36),
      make(form, batch: 2, front: 0, cells: 9, heads: 1, headSize: 20, uses: 2),
      make(form, batch: 1, front: 5, cells: 7, heads: 2, headSize: 64),
      make(form, batch: 3, front: 1, cells: 4, heads: 1, headSize: 8),
    ]
  }
  /// ViT-B at batch 8, as DINOv3 and as EVA-02.
  package static let benchmarks = [
    make(.half, batch: 8, front: 5, cells: 196, heads: 12, headSize: 64),
    make(.interleaved, batch: 8, front: 1, cells: 196, heads: 12, headSize: 64),
  ]

  private static func make(
    _ form: RotaryForm, batch: Int, front: Int, cells: Int, heads: Int, headSize: Int, uses: Int = 1
  ) -> OperationCase {
    let (tokens, width) = (front + cells, 3 * heads * headSize)
    // Any angles, the same for both channels of a pair.
    func pair(_ channel: Int) -> Int { form == .half ? channel % (headSize / 2) : channel / 2 }
    let angles = (0..<cells * headSize).map { index in
      0.7 * Double(index / headSize + 1) / Double(pair(index % headSize) + 1)
    }
    return OperationCase(
      "rotary",
      "\(form) \(batch)x(\(front)+\(cells))x\(heads)x\(headSize)" + (uses > 1 ? " twice" : ""),
      inputs: [.init([batch, tokens, width], differentiable: true)], terms: 2 * uses,
      cost: .init(bytes: Double(8 * batch * tokens * width)),
      prepared: { context in
        let table = try RotaryTable(
          cosines: angles.map { Float(cos($0)) }, sines: angles.map { Float(sin($0)) },
          headSize: headSize, form: form, on: context)
        return { tape, inputs in
          // Reshaped, so that a second gradient meets the first.
          let input = tape.reshape(inputs[0], to: [batch, tokens, width])
          func once() throws -> Tensor { try tape.rotate(input, angles: table, front: front, heads: heads) }
          return uses > 1 ? try tape.add(once(), once()) : try once()
        }
      },
      reference: { inputs in
        let values = inputs[0].enumerated().map { index, x in
          let (cell, place) = (index / width % tokens - front, index % width)
          guard cell >= 0, place < 2 * heads * headSize else { return Double(uses) * x }
          let channel = place % headSize
          let angle = angles[cell * headSize + channel]
          let (partner, isFirst) =
            form == .half
            ? ((channel + headSize / 2) % headSize, channel < headSize / 2)
            : (channel % 2 == 0 ? channel + 1 : channel - 1, channel % 2 == 0)
          let other = inputs[0][index - channel + partner]
          return Double(uses) * (x * cos(angle) + (isFirst ? -other : other) * sin(angle))
        }
        return .init(values, magnitudes: [Double](repeating: 2 * Double(uses), count: values.count))
      })
  }
}
