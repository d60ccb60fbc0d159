import GraftOps

/// Cases of joining and cutting token sequences.
package enum TokensCases {
  /// One image and several, one token and several, widths below, at and beyond a vector.
  package static let checks: [OperationCase] =
    [(1, 1, 1, 1), (2, 3, 1, 16), (3, 1, 5, 33), (2, 9, 8, 7)].flatMap { batch, a, b, width in
      [
        concat(batch: batch, a: a, b: b, width: width, shared: nil),
        concat(batch: batch, a: a, b: b, width: width, shared: 0),
        concat(batch: batch, a: a, b: b, width: width, shared: 1),
        prepend(batch: batch, patches: b, width: width), split(batch: batch, patches: b, width: width),
        classToken(batch: batch, patches: b, width: width),
        patchesAlone(batch: batch, patches: b, width: width),
      ]
    } + [
      slice(batch: 1, tokens: 1, from: 0, count: 1, width: 1),
      slice(batch: 3, tokens: 7, from: 2, count: 4, width: 17),
      slice(batch: 2, tokens: 5, from: 4, count: 1, width: 32),
      slice(batch: 2, tokens: 20, from: 0, count: 19, width: 8),
      gather(batch: 1, tokens: 1, width: 1, [0]), gather(batch: 5, tokens: 3, width: 17, [4, 0, 2]),
      gather(batch: 3, tokens: 9, width: 32, [0, 1, 2]), gather(batch: 2, tokens: 8, width: 7, [1, 1, 0, 1]),
    ]
  /// The input sequence of ViT-B at batch 8, and the class token taken off and put back.
  package static let benchmarks = [
    prepend(batch: 8, patches: 196, width: 768), split(batch: 8, patches: 196, width: 768),
    gather(batch: 8, tokens: 197, width: 768, [0, 2, 3, 7]),
  ]

  private static func bytes(_ count: Int) -> OperationCase.Cost { .init(bytes: Double(8 * count)) }

  /// `shared`: the part that all images have in common, if any.
  private static func concat(batch: Int, a: Int, b: Int, width: Int, shared: Int?) -> OperationCase {
    let aShape = shared == 0 ? [a, width] : [batch, a, width]
    let bShape = shared == 1 ? [b, width] : [batch, b, width]
    let name = shared.map { $0 == 0 ? "a shared" : "b shared" } ?? "own"
    return OperationCase(
      "tokens", "concat \(batch)x(\(a)+\(b))x\(width) \(name)",
      inputs: [.init(aShape, differentiable: true), .init(bShape, differentiable: true)], terms: batch,
      cost: bytes(batch * (a + b) * width),
      forward: { tape, inputs in try tape.concatTokens(inputs[0], inputs[1]) },
      reference: { inputs in
        .init(
          (0..<batch).flatMap { image in
            let first = shared == 0 ? 0 : image * a * width
            let second = shared == 1 ? 0 : image * b * width
            return Array(inputs[0][first..<first + a * width] + inputs[1][second..<second + b * width])
          })
      })
  }

  private static func slice(batch: Int, tokens: Int, from: Int, count: Int, width: Int) -> OperationCase {
    OperationCase(
      "tokens", "slice \(batch)x\(tokens)[\(from)..<\(from + count)]x\(width)",
      inputs: [.init([batch, tokens, width], differentiable: true)], terms: 1,
      cost: bytes(batch * count * width),
      // Added to itself, so that a second gradient meets the first.
      forward: { tape, inputs in
        let input = tape.reshape(inputs[0], to: [batch, tokens, width])
        let slice = try tape.sliceTokens(input, from: from, count: count)
        return try tape.add(slice, tape.sliceTokens(input, from: 0, count: count))
      },
      reference: { inputs in
        .init(
          (0..<batch * count * width).map { index in
            let start = index / (count * width) * tokens * width
            let offset = index % (count * width)
            return inputs[0][start + from * width + offset] + inputs[0][start + offset]
          })
      })
  }

  private static func gather(batch: Int, tokens: Int, width: Int, _ indices: [Int]) -> OperationCase {
    OperationCase(
      "tokens", "gather \(indices) of \(batch)x\(tokens)x\(width)", inputs: [.init([batch, tokens, width])],
      terms: 1, cost: bytes(indices.count * tokens * width),
      forward: { tape, inputs in try tape.gatherImages(inputs[0], indices) },
      reference: { inputs in
        .init(indices.flatMap { inputs[0][$0 * tokens * width..<($0 + 1) * tokens * width] })
      })
  }

  private static func prepend(batch: Int, patches: Int, width: Int) -> OperationCase {
    OperationCase(
      "tokens", "prepend \(batch)x(1+\(patches))x\(width)",
      inputs: [
        .init([batch, patches, width], differentiable: true), .init([1, 1, width], differentiable: true),
        .init([1 + patches, width]),
      ], terms: batch, cost: bytes(batch * (1 + patches) * width),
      forward: { tape, inputs in
        try tape.prependClassToken(inputs[0], cls: inputs[1], position: inputs[2])
      },
      reference: { inputs in
        var values: [Double] = []
        for image in 0..<batch {
          let own = inputs[0][image * patches * width..<(image + 1) * patches * width]
          for (token, place) in zip(inputs[1] + own, inputs[2]) { values.append(token + place) }
        }
        return .init(values, magnitudes: [Double](repeating: 2, count: values.count))
      })
  }

  /// The class token taken off, each part changed in its own way, and put back.
  private static func split(batch: Int, patches: Int, width: Int) -> OperationCase {
    let count = batch * (1 + patches) * width
    return OperationCase(
      "tokens", "split and join \(batch)x(1+\(patches))x\(width)",
      inputs: [.init([batch, 1 + patches, width], differentiable: true)], terms: 1, cost: bytes(2 * count),
      forward: { tape, inputs in
        let input = tape.reshape(inputs[0], to: [batch, 1 + patches, width])
        let (cls, patches) = try tape.splitClassToken(input)
        let joined = try tape.joinClassToken(tape.add(cls, cls), patches)
        return try tape.add(joined, input)
      },
      reference: { inputs in
        .init(
          inputs[0].enumerated().map { index, x in index / width % (1 + patches) == 0 ? 3 * x : 2 * x })
      })
  }

  private static func classToken(batch: Int, patches: Int, width: Int) -> OperationCase {
    OperationCase(
      "tokens", "class token \(batch)x(1+\(patches))x\(width)",
      inputs: [.init([batch, 1 + patches, width], differentiable: true)], terms: 1,
      cost: bytes(batch * width),
      // Split with the patches unused: their gradient never arrives.
      forward: { tape, inputs in
        try tape.add(tape.classToken(inputs[0]), tape.splitClassToken(inputs[0]).cls)
      },
      reference: { inputs in
        .init(
          (0..<batch * width).map { 2 * inputs[0][$0 / width * (1 + patches) * width + $0 % width] })
      })
  }

  /// A split whose class token is not used: its gradient never arrives.
  private static func patchesAlone(batch: Int, patches: Int, width: Int) -> OperationCase {
    OperationCase(
      "tokens", "patches \(batch)x(1+\(patches))x\(width)",
      inputs: [.init([batch, 1 + patches, width], differentiable: true)], terms: 1,
      cost: bytes(batch * patches * width),
      forward: { tape, inputs in try tape.splitClassToken(inputs[0]).patches },
      reference: { inputs in
        .init(
          (0..<batch * patches * width).map { index in
            inputs[0][(index / (patches * width) + 1) * width + index]
          })
      })
  }
}
