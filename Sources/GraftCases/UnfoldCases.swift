import GraftOps

/// Cases of the neighbourhoods of a token grid, alone and as a full convolution.
package enum UnfoldCases {
  /// One cell, single rows and columns, grids that are no square, widths around a vector, every side; no, one and several
  /// tokens in front.
  package static let checks: [OperationCase] = [
    unfold(images: 2, height: 3, width: 4, channels: 5, side: 3, front: 0, uses: 2),
    unfold(images: 2, height: 3, width: 4, channels: 5, side: 3, front: 5, uses: 2),
    convolution(images: 2, height: 3, width: 5, inputs: 3, outputs: 4, front: 0),
    convolution(images: 2, height: 3, width: 5, inputs: 3, outputs: 4, front: 5),
    unfold(images: 1, height: 1, width: 1, channels: 1, side: 3),
    unfold(images: 2, height: 1, width: 5, channels: 3, side: 3),
    unfold(images: 1, height: 4, width: 1, channels: 17, side: 1),
    unfold(images: 3, height: 3, width: 4, channels: 8, side: 3, uses: 2),
    unfold(images: 1, height: 2, width: 3, channels: 65, side: 5),
    convolution(images: 1, height: 1, width: 1, inputs: 1, outputs: 1),
    convolution(images: 2, height: 3, width: 5, inputs: 3, outputs: 4),
    convolution(images: 3, height: 6, width: 6, inputs: 8, outputs: 8),
  ]
  /// Grids that fill no group and more than one.
  package static let widths = [
    unfold(images: 2, height: 3, width: 11, channels: 8, side: 3, front: 9, uses: 2),
    unfold(images: 1, height: 2, width: 9, channels: 37, side: 5),
  ]
  /// Convpass on ViT-B at batch 8.
  package static let benchmarks = [
    unfold(images: 8, height: 14, width: 14, channels: 8, side: 3),
    convolution(images: 8, height: 14, width: 14, inputs: 8, outputs: 8),
  ]

  private static func unfold(
    images: Int, height: Int, width: Int, channels: Int, side: Int, front: Int = 1, uses: Int = 1
  ) -> OperationCase {
    let (tokens, taps) = (front + height * width, side * side)
    return OperationCase(
      "unfold",
      "\(images)x(\(front)+\(height)x\(width))x\(channels) side \(side)" + (uses > 1 ? " twice" : ""),
      inputs: [.init([images, tokens, channels], differentiable: true)], terms: taps * uses,
      cost: .init(bytes: Double(4 * images * tokens * channels * (1 + taps))),
      forward: { tape, inputs in
        let input = tape.reshape(inputs[0], to: [images, tokens, channels])
        let once = try tape.unfoldTokens(input, grid: (height, width), side: side, front: front)
        guard uses > 1 else { return once }
        return try tape.add(
          once, tape.unfoldTokens(input, grid: (height, width), side: side, front: front))
      },
      reference: { inputs in
        var values = [Double](repeating: 0, count: images * tokens * channels * taps)
        for image in 0..<images {
          for token in 0..<tokens {
            for channel in 0..<channels {
              let place = (image * tokens + token) * channels + channel
              for tap in 0..<taps {
                let cell = neighbour(of: token, tap, grid: (height, width), side: side, front: front)
                guard let cell else { continue }
                values[place * taps + tap] =
                  Double(uses) * inputs[0][(image * tokens + cell) * channels + channel]
              }
            }
          }
        }
        return .init(values, magnitudes: [Double](repeating: Double(uses), count: values.count))
      })
  }

  /// A full 3x3 convolution over the cells with padding 1; each token in front is an image of one cell.
  private static func convolution(
    images: Int, height: Int, width: Int, inputs: Int, outputs: Int, front: Int = 1
  ) -> OperationCase {
    let tokens = front + height * width
    return OperationCase(
      "unfold", "convolution \(images)x(\(front)+\(height)x\(width))x\(inputs)->\(outputs)",
      inputs: [
        .init([images, tokens, inputs], differentiable: true),
        .init([outputs, inputs, 3, 3], differentiable: true), .init([outputs], differentiable: true),
      ], terms: 9 * inputs + images * tokens,
      cost: .init(
        macs: Double(images * tokens * 9 * inputs * outputs),
        bytes: Double(4 * images * tokens * (inputs + outputs))),
      forward: { tape, operands in
        let cells = try tape.unfoldTokens(operands[0], grid: (height, width), side: 3, front: front)
        return try tape.linear(cells, weight: operands[1], bias: operands[2])
      },
      reference: { values in
        var result = [Double](repeating: 0, count: images * tokens * outputs)
        var magnitudes = result
        for image in 0..<images {
          for token in 0..<tokens {
            for output in 0..<outputs {
              var terms = [values[2][output]]
              for input in 0..<inputs {
                for tap in 0..<9 {
                  let cell = neighbour(of: token, tap, grid: (height, width), side: 3, front: front)
                  guard let cell else { continue }
                  terms.append(
                    values[0][(image * tokens + cell) * inputs + input]
                      * values[1][(output * inputs + input) * 9 + tap])
                }
              }
              let place = (image * tokens + token) * outputs + output
              result[place] = terms.reduce(0, +)
              magnitudes[place] = terms.reduce(0) { $0 + abs($1) }
            }
          }
        }
        return .init(result, magnitudes: magnitudes)
      })
  }

  /// The token under a tap of a token's neighbourhood; `nil` outside.
  private static func neighbour(
    of token: Int, _ tap: Int, grid: (height: Int, width: Int), side: Int, front: Int
  ) -> Int? {
    let (down, along) = (tap / side - side / 2, tap % side - side / 2)
    if token < front { return down == 0 && along == 0 ? token : nil }
    let (row, column) = ((token - front) / grid.width + down, (token - front) % grid.width + along)
    guard (0..<grid.height).contains(row), (0..<grid.width).contains(column) else { return nil }
    return front + row * grid.width + column
  }
}
