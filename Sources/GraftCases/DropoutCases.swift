import GraftOps

/// Cases of dropout, with the generator written a second time in Swift.
package enum DropoutCases {
  /// Tails and several work-items.
  package static let checks = [(1, Float(0.5)), (17, 0.1), (100, 0.5), (4096 + 33, 0.9)].map(make)
  /// The hidden layer of ViT-B at batch 8.
  package static let benchmarks = [make(count: 1576 * 768, probability: 0.1)]

  private static func make(count: Int, probability: Float) -> OperationCase {
    OperationCase(
      "dropout", "\(count) p \(probability)", inputs: [.init([count], differentiable: true)], terms: 1,
      cost: .init(bytes: Double(8 * count)),
      forward: { tape, inputs in
        // Two draws, so that the key's running number counts. The check at inference needs masks as well.
        let tape = tape.isTraining ? tape : Tape(.training(seed: 7))
        let once = try tape.dropout(inputs[0], probability: probability)
        return try tape.dropout(once, probability: probability)
      },
      reference: { inputs in
        let threshold = UInt32(Double(probability) * 0x1p32)
        return .init(
          inputs[0].enumerated().map { index, x in
            let isKept = [1, 2].allSatisfy { bits((7, 0, $0), UInt32(index)) >= threshold }
            return isKept ? x / (1 - Double(probability)) / (1 - Double(probability)) : 0
          })
      })
  }

  private static func mix(_ x: UInt32) -> UInt32 {
    var x = (x ^ (x >> 16)) &* 0x21f0_aaad
    x = (x ^ (x >> 15)) &* 0xd35a_2d97
    return x ^ (x >> 15)
  }

  /// `random_bits` of common.cl.
  static func bits(_ key: (UInt32, UInt32, UInt32), _ index: UInt32) -> UInt32 {
    func word(_ salt: UInt32) -> UInt32 { mix(mix(mix(key.0 &+ salt) &+ key.1) &+ key.2) }
    return mix(mix(index &+ word(0x9e37_79b9)) ^ word(0x7f4a_7c15))
  }
}
