import GraftOps

/// Cases of depth-wise convolution, on grids and on tokens.
package enum DepthwiseConvCases {
  struct Shape {
    var images: Int
    var height: Int
    var width: Int
    var channels: Int
    var side: Int
    var stride = 1
    var padding = 0
    var hasBias = true
    /// Tokens ahead of the grid, where it is one of tokens.
    var front: Int?
    /// How often the input enters, to check that gradients add up.
    var uses = 1
  }

  /// Kernels of all sides, strides and paddings, and every width of vector.
  package static let checks: [OperationCase] = [
    Shape(images: 1, height: 1, width: 1, channels: 1, side: 1),
    Shape(images: 1, height: 3, width: 3, channels: 8, side: 3),
    Shape(images: 2, height: 5, width: 6, channels: 8, side: 3, uses: 2),
    Shape(images: 3, height: 7, width: 7, channels: 16, side: 3, padding: 1, uses: 2),
    Shape(images: 1, height: 6, width: 9, channels: 17, side: 3, hasBias: false),
    Shape(images: 1, height: 5, width: 5, channels: 32, side: 3, stride: 2, padding: 1, uses: 2),
    Shape(images: 2, height: 4, width: 7, channels: 4, side: 3, padding: 3),
    Shape(images: 1, height: 7, width: 5, channels: 5, side: 5, stride: 2, padding: 2, hasBias: false),
    Shape(images: 1, height: 8, width: 7, channels: 16, side: 7, padding: 3),
    Shape(images: 1, height: 6, width: 5, channels: 6, side: 5),
    Shape(images: 2, height: 3, width: 4, channels: 8, side: 1, stride: 2),
    Shape(images: 3, height: 5, width: 5, channels: 8, side: 3, front: 1),
    Shape(images: 2, height: 7, width: 6, channels: 48, side: 3, hasBias: false, front: 1, uses: 2),
    Shape(
      images: 2, height: 5, width: 6, channels: 3, side: 3, stride: 2, padding: 1, front: 1, uses: 2),
    Shape(images: 1, height: 4, width: 4, channels: 20, side: 3, padding: 1, front: 1, uses: 2),
    Shape(images: 2, height: 5, width: 4, channels: 8, side: 3, padding: 1, front: 0, uses: 2),
    Shape(images: 2, height: 5, width: 4, channels: 8, side: 3, padding: 1, front: 5, uses: 2),
    Shape(images: 2, height: 5, width: 6, channels: 3, side: 3, stride: 2, padding: 1, front: 5, uses: 2),
  ].map(make)

  /// ILA on ViT-B at batch 8: the residual branch, and the bottleneck.
  package static let benchmarks: [OperationCase] = [
    Shape(images: 8, height: 14, width: 14, channels: 768, side: 3, hasBias: false),
    Shape(images: 8, height: 14, width: 14, channels: 768, side: 3, hasBias: false, front: 1),
    Shape(images: 8, height: 14, width: 14, channels: 8, side: 3),
  ].map(make)

  private static func make(_ s: Shape) -> OperationCase {
    let front = s.front ?? 0
    let outHeight = (s.height + 2 * s.padding - s.side) / s.stride + 1
    let outWidth = (s.width + 2 * s.padding - s.side) / s.stride + 1
    let outputs = s.images * (front + outHeight * outWidth) * s.channels
    let input =
      s.front == nil
      ? [s.images, s.height, s.width, s.channels] : [s.images, front + s.height * s.width, s.channels]
    var inputs: [OperationCase.Input] = [
      .init(input, differentiable: true), .init([s.channels, 1, s.side, s.side], differentiable: true),
    ]
    if s.hasBias { inputs.append(.init([s.channels], differentiable: true)) }
    let bytes = 4 * (input.reduce(1, *) + outputs + s.channels * s.side * s.side)
    return OperationCase(
      "depthwise_conv",
      "\(s.images)x\(s.height)x\(s.width)x\(s.channels) k\(s.side) s\(s.stride) p\(s.padding)"
        + (s.front.map { $0 == 1 ? " tokens" : " tokens behind \($0)" } ?? "") + (s.uses > 1 ? " twice" : ""),
      inputs: inputs, terms: max(s.side * s.side + 1, s.images * outHeight * outWidth / 16),
      cost: .init(macs: Double(outputs * s.side * s.side), bytes: Double(bytes)),
      forward: { tape, inputs in
        let bias = s.hasBias ? inputs[2] : nil
        func once(_ x: Tensor) throws -> Tensor {
          try s.front == nil
            ? tape.depthwiseConv(x, weight: inputs[1], bias: bias, stride: s.stride, padding: s.padding)
            : tape.depthwiseConvOnTokens(
              x, grid: (s.height, s.width), weight: inputs[1], bias: bias, stride: s.stride,
              padding: s.padding, front: front)
        }
        guard s.uses > 1 else { return try once(inputs[0]) }
        // A reshape between, so that the sum so far belongs to an intermediate tensor.
        let shared = tape.reshape(inputs[0], to: input)
        return try tape.add(once(shared), once(shared))
      },
      reference: { reference($0, s, front: front, outHeight: outHeight, outWidth: outWidth) })
  }

  private static func reference(
    _ inputs: [[Double]], _ s: Shape, front: Int, outHeight: Int, outWidth: Int
  ) -> OperationCase.Expected {
    let (x, weight) = (inputs[0], inputs[1])
    var values: [Double] = []
    var magnitudes: [Double] = []
    let uses = Double(s.uses)
    for image in 0..<s.images {
      let base = image * (front + s.height * s.width) * s.channels
      for channel in 0..<front * s.channels {
        values.append(uses * x[base + channel])
        magnitudes.append(uses * abs(x[base + channel]))
      }
      for i in 0..<outHeight {
        for j in 0..<outWidth {
          for c in 0..<s.channels {
            var sum = s.hasBias ? inputs[2][c] : 0
            var magnitude = abs(sum)
            for u in 0..<s.side {
              for v in 0..<s.side {
                let row = i * s.stride + u - s.padding
                let column = j * s.stride + v - s.padding
                guard row >= 0, row < s.height, column >= 0, column < s.width else { continue }
                let term =
                  weight[(c * s.side + u) * s.side + v]
                  * x[base + (front + row * s.width + column) * s.channels + c]
                sum += term
                magnitude += abs(term)
              }
            }
            values.append(uses * sum)
            magnitudes.append(uses * magnitude)
          }
        }
      }
    }
    return .init(values, magnitudes: magnitudes)
  }
}
