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
        token(batch: batch, tokens: 1 + b, width: width),
      ]
        + [0, 1, 5].flatMap { front in
          [
            prepend(batch: batch, front: front, cells: b, width: width),
            prepend(batch: batch, front: front, cells: b, width: width, hasPosition: false),
            split(batch: batch, front: front, cells: b, width: width),
            frontAlone(batch: batch, front: front, cells: b, width: width),
            restAlone(batch: batch, front: front, cells: b, width: width),
            mean(batch: batch, front: front, cells: b, width: width),
          ]
        }
    } + [
      // Whole columns of an item, and a rest.
      mean(batch: 2, front: 1, cells: 7, width: 130),
      slice(batch: 1, tokens: 1, from: 0, count: 1, width: 1),
      slice(batch: 3, tokens: 7, from: 2, count: 4, width: 17),
      slice(batch: 2, tokens: 5, from: 4, count: 1, width: 32),
      slice(batch: 2, tokens: 20, from: 0, count: 19, width: 8),
      gather(batch: 1, tokens: 1, width: 1, [0]), gather(batch: 5, tokens: 3, width: 17, [4, 0, 2]),
      gather(batch: 3, tokens: 9, width: 32, [0, 1, 2]), gather(batch: 2, tokens: 8, width: 7, [1, 1, 0, 1]),
    ]
  /// The input sequence of ViT-B at batch 8, the class token taken off and put back, and the mean of the cells.
  package static let benchmarks = [
    prepend(batch: 8, front: 1, cells: 196, width: 768), split(batch: 8, front: 1, cells: 196, width: 768),
    mean(batch: 8, front: 1, cells: 196, width: 768),
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

  private static func prepend(
    batch: Int, front: Int, cells: Int, width: Int, hasPosition: Bool = true
  ) -> OperationCase {
    let tokens = front + cells
    var inputs = [OperationCase.Input([batch, cells, width], differentiable: true)]
    // As checkpoints hold them: one class token as (1, 1, D), and registers as (F, D).
    if front > 0 { inputs.append(.init(front == 1 ? [1, 1, width] : [front, width], differentiable: true)) }
    if hasPosition { inputs.append(.init([tokens, width])) }
    return OperationCase(
      "tokens", "prepend \(batch)x(\(front)+\(cells))x\(width)\(hasPosition ? "" : " bare")", inputs: inputs,
      terms: batch, cost: bytes(batch * tokens * width),
      forward: { tape, inputs in
        try tape.prependTokens(
          inputs[0], prefix: front > 0 ? inputs[1] : nil, position: hasPosition ? inputs.last : nil)
      },
      reference: { inputs in
        var values: [Double] = []
        for image in 0..<batch {
          let own = inputs[0][image * cells * width..<(image + 1) * cells * width]
          let sequence = (front > 0 ? inputs[1] : []) + own
          values += hasPosition ? zip(sequence, inputs[inputs.count - 1]).map { $0 + $1 } : sequence
        }
        return .init(values, magnitudes: [Double](repeating: 2, count: values.count))
      })
  }

  /// The front taken off, changed in its own way, and put back.
  private static func split(batch: Int, front: Int, cells: Int, width: Int) -> OperationCase {
    let tokens = front + cells
    return OperationCase(
      "tokens", "split and join \(batch)x(\(front)+\(cells))x\(width)",
      inputs: [.init([batch, tokens, width], differentiable: true)], terms: 1,
      cost: bytes(2 * batch * tokens * width),
      forward: { tape, inputs in
        let input = tape.reshape(inputs[0], to: [batch, tokens, width])
        let (head, rest) = try tape.splitFront(input, count: front)
        let joined = try tape.joinFront(head.map { try tape.add($0, $0) }, rest)
        return try tape.add(joined, input)
      },
      reference: { inputs in
        .init(inputs[0].enumerated().map { index, x in index / width % tokens < front ? 3 * x : 2 * x })
      })
  }

  /// The first token of every image.
  private static func token(batch: Int, tokens: Int, width: Int) -> OperationCase {
    OperationCase(
      "tokens", "first token of \(batch)x\(tokens)x\(width)",
      inputs: [.init([batch, tokens, width], differentiable: true)], terms: 1, cost: bytes(batch * width),
      forward: { tape, inputs in try tape.token(inputs[0], at: 0) },
      reference: { inputs in
        .init((0..<batch * width).map { inputs[0][$0 / width * tokens * width + $0 % width] })
      })
  }

  /// A split whose rest is not used, so that its gradient never arrives.
  ///
  /// Without a front, the rest.
  private static func frontAlone(batch: Int, front: Int, cells: Int, width: Int) -> OperationCase {
    let (tokens, count) = (front + cells, front == 0 ? cells : front)
    return OperationCase(
      "tokens", "front of \(batch)x(\(front)+\(cells))x\(width)",
      inputs: [.init([batch, tokens, width], differentiable: true)], terms: 1,
      cost: bytes(batch * count * width),
      forward: { tape, inputs in
        let (head, rest) = try tape.splitFront(inputs[0], count: front)
        return head ?? rest
      },
      reference: { part($0[0], of: tokens, from: 0, count: count, width: width) })
  }

  /// A split whose front is not used.
  private static func restAlone(batch: Int, front: Int, cells: Int, width: Int) -> OperationCase {
    let tokens = front + cells
    return OperationCase(
      "tokens", "behind the front of \(batch)x(\(front)+\(cells))x\(width)",
      inputs: [.init([batch, tokens, width], differentiable: true)], terms: 1,
      cost: bytes(batch * cells * width),
      forward: { tape, inputs in try tape.splitFront(inputs[0], count: front).rest },
      reference: { part($0[0], of: tokens, from: front, count: cells, width: width) })
  }

  private static func part(
    _ values: [Double], of tokens: Int, from: Int, count: Int, width: Int
  ) -> OperationCase.Expected {
    .init(
      values.enumerated().filter { (from..<from + count).contains($0.offset / width % tokens) }.map(\.element)
    )
  }

  /// The mean taken twice, so that a second gradient meets the first.
  private static func mean(batch: Int, front: Int, cells: Int, width: Int) -> OperationCase {
    let tokens = front + cells
    return OperationCase(
      "tokens", "mean \(batch)x(\(front)+\(cells))x\(width)",
      inputs: [.init([batch, tokens, width], differentiable: true)], terms: cells,
      cost: .init(bytes: Double(4 * batch * (cells + 1) * width)),
      forward: { tape, inputs in
        let input = tape.reshape(inputs[0], to: [batch, tokens, width])
        let whole = try tape.meanTokens(input, front: 0)
        return try tape.add(tape.meanTokens(input, front: front), whole)
      },
      reference: { inputs in
        let values = (0..<batch * width).map { index in
          let column = (0..<tokens).map { inputs[0][(index / width * tokens + $0) * width + index % width] }
          return column[front...].reduce(0, +) / Double(cells) + column.reduce(0, +) / Double(tokens)
        }
        return .init(values, magnitudes: [Double](repeating: 2, count: values.count))
      })
  }
}
