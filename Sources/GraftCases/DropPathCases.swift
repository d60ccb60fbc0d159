import GraftOps

/// Cases of stochastic depth.
package enum DropPathCases {
  /// One image, tails, several work-items an image.
  package static let checks = [([1, 1, 1], Float(0.5)), ([7, 3, 5], 0.5), ([3, 2, 2056], 0.2)].map(make)
  /// A branch of ViT-B at batch 8.
  package static let benchmarks = [make([8, 197, 768], probability: 0.1)]

  private static func make(_ shape: [Int], probability: Float) -> OperationCase {
    let count = shape.reduce(1, *)
    return OperationCase(
      "drop_path", "\(shape.map(String.init).joined(separator: "x")) p \(probability)",
      inputs: [.init(shape, differentiable: true)], terms: 2, cost: .init(bytes: Double(8 * count)),
      forward: { tape, inputs in
        let tape = tape.isTraining ? tape : Tape(.training(seed: 7))
        // The input enters twice, so that its gradient is a sum.
        return try tape.add(tape.dropPath(inputs[0], probability: probability), inputs[0])
      },
      reference: { inputs in
        let threshold = UInt32(Double(probability) * 0x1p32)
        return .init(
          inputs[0].enumerated().map { index, x in
            let isKept = DropoutCases.bits((7, 0, 1), UInt32(index / (count / shape[0]))) >= threshold
            return x + (isKept ? x / (1 - Double(probability)) : 0)
          })
      })
  }
}
