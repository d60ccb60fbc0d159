import GraftOps

/// Cases of the Kronecker adapter.
package enum KroneckerCases {
  struct Shape {
    var tokens: Int
    var part: Int
    var experts: Int
    var rank: Int
    var scale: Float = 1
    var hasBias = false
    var dropout: Float = 0
    var uses = 1
    /// Behind a layer norm, whose input is drawn from this range.
    var normed: ClosedRange<Float>?

    var width: Int { experts * part }
    var ranks: Int { experts * rank }
  }

  /// One token, tiles with tails, parts that are no multiple of 16, more lanes than one vector.
  package static let checks: [OperationCase] = [
    Shape(tokens: 1, part: 1, experts: 1, rank: 1),
    Shape(tokens: 3, part: 5, experts: 2, rank: 1, scale: 0.5, hasBias: true),
    Shape(tokens: 5, part: 16, experts: 4, rank: 4, uses: 2),
    Shape(tokens: 4, part: 19, experts: 4, rank: 4, scale: 5, hasBias: true, uses: 2),
    Shape(tokens: 7, part: 32, experts: 2, rank: 4, scale: 0.1),
    Shape(tokens: 17, part: 3, experts: 1, rank: 2, hasBias: true),
    Shape(tokens: 3, part: 17, experts: 4, rank: 5),
    Shape(tokens: 131, part: 4, experts: 2, rank: 2),
    Shape(tokens: 37, part: 16, experts: 1, rank: 2, hasBias: true),
    Shape(tokens: 9, part: 16, experts: 4, rank: 4, hasBias: true, dropout: 0.3),
    Shape(tokens: 5, part: 7, experts: 3, rank: 6, dropout: 0.5, uses: 2),
  ].map(make)

  /// For tiles: more than a group's tokens, columns and lanes, slices of more rows than are taken at once, and a norm in front.
  package static let tileChecks: [OperationCase] = [
    Shape(tokens: 33, part: 68, experts: 4, rank: 4, hasBias: true, dropout: 0.3),
    Shape(tokens: 200, part: 4, experts: 12, rank: 1, hasBias: true),
    Shape(tokens: 1, part: 3, experts: 1, rank: 1, normed: -1...3),
    Shape(tokens: 19, part: 19, experts: 4, rank: 4, scale: 5, hasBias: true, uses: 2, normed: -1...3),
    Shape(tokens: 33, part: 68, experts: 4, rank: 4, hasBias: true, dropout: 0.3, uses: 2, normed: -1...3),
    Shape(tokens: 45, part: 7, experts: 3, rank: 6, dropout: 0.5, normed: -1...3),
    Shape(tokens: 200, part: 4, experts: 12, rank: 1, normed: -1...3),
    Shape(tokens: 9, part: 132, experts: 2, rank: 20, normed: -1...3),
    // As of the norm alone.
    Shape(tokens: 5, part: 20, experts: 4, rank: 4, normed: -10_000...10_000),
    Shape(tokens: 5, part: 20, experts: 4, rank: 4, normed: -1e-4...1e-4),
    Shape(tokens: 5, part: 20, experts: 4, rank: 4, normed: 9_990...10_010),
  ].map(make)

  /// ALoRE on ViT-B at batch 8.
  package static let benchmarks: [OperationCase] = [
    Shape(tokens: 1576, part: 192, experts: 4, rank: 4),
    Shape(tokens: 1576, part: 192, experts: 4, rank: 4, dropout: 0.1),
  ].map(make)

  private static func make(_ s: Shape) -> OperationCase {
    var inputs: [OperationCase.Input] = [
      .init([s.tokens, s.width], in: s.normed ?? -1...1, differentiable: true),
      .init([s.experts, s.experts, s.experts], differentiable: true),
      .init([s.experts, s.part, s.rank], differentiable: true),
      .init([s.experts, s.rank, s.part], differentiable: true),
    ]
    if s.hasBias { inputs.append(.init([s.width], differentiable: true)) }
    if s.normed != nil { inputs += [.init([s.width], in: 0.5...1.5), .init([s.width])] }
    let macs = s.tokens * (2 * s.experts * s.width * s.rank + s.experts * s.experts * s.ranks)
    return OperationCase(
      "kronecker",
      "\(s.tokens)x\(s.width) n\(s.experts) r\(s.rank)" + (s.hasBias ? " bias" : "")
        + (s.dropout > 0 ? " dropout \(s.dropout)" : "") + (s.uses > 1 ? " twice" : "")
        + (s.normed.map { " behind a norm of \($0)" } ?? ""),
      inputs: inputs, terms: s.part * s.ranks + s.tokens + (s.normed == nil ? 0 : s.width),
      cost: .init(macs: Double(macs), bytes: Double(8 * s.tokens * s.width)),
      forward: { tape, inputs in
        // The oracle drops the same values; the check at inference needs the mask as well.
        let tape = tape.isTraining || s.dropout == 0 ? tape : Tape(.training(seed: 7))
        func once(_ x: Tensor) throws -> Tensor {
          var x = x
          let bias = s.hasBias ? inputs[4] : nil
          if s.normed != nil {
            let norm = LayerNorm(
              weight: inputs[inputs.count - 2], bias: inputs[inputs.count - 1], epsilon: epsilon)
            let both = try tape.kroneckerAdapter(
              x, behind: norm, a: inputs[1], u: inputs[2], v: inputs[3], bias: bias, scale: s.scale,
              dropout: s.dropout)
            if let both { return both }
            x = try tape.layerNorm(x, weight: norm.weight, bias: norm.bias, epsilon: epsilon)
          }
          return try tape.kroneckerAdapter(
            x, a: inputs[1], u: inputs[2], v: inputs[3], bias: bias, scale: s.scale, dropout: s.dropout)
        }
        guard s.uses > 1 else { return try once(inputs[0]) }
        let shared = tape.reshape(inputs[0], to: [s.tokens, s.width])
        return try tape.add(once(shared), once(shared))
      },
      reference: { inputs in
        var total = [Double](repeating: 0, count: s.tokens * s.width)
        var magnitudes = total
        for use in 1...s.uses {
          let once = reference(inputs, s, draw: UInt32(use))
          for index in total.indices {
            total[index] += once.values[index]
            magnitudes[index] += once.magnitudes[index]
          }
        }
        return .init(total, magnitudes: magnitudes)
      })
  }

  private static let epsilon: Float = 1e-6

  /// What the adapter reads, and on which scale that is rounded.
  private static func read(_ inputs: [[Double]], _ s: Shape) -> (values: [Double], magnitudes: [Double]) {
    guard s.normed != nil else { return (inputs[0], inputs[0].map(abs)) }
    let normalized = LayerNormCases.reference(
      inputs[0], weight: inputs[inputs.count - 2], bias: inputs[inputs.count - 1], epsilon: Double(epsilon))
    return (normalized.values, normalized.magnitudes)
  }

  private static func reference(
    _ inputs: [[Double]], _ s: Shape, draw: UInt32
  ) -> (values: [Double], magnitudes: [Double]) {
    let (x, xMagnitudes) = read(inputs, s)
    let (a, u, v) = (inputs[1], inputs[2], inputs[3])
    let (n, m, r) = (s.experts, s.part, s.rank)
    let scale = Double(s.scale)
    let threshold = UInt32(Double(s.dropout) * 0x1p32)
    let paddedLanes = (s.ranks + 15) / 16 * 16
    var values = x
    var magnitudes = xMagnitudes
    for token in 0..<s.tokens {
      for i in 0..<n {
        for k in 0..<r {
          let lane = i * r + k
          // Z = V x of every part, and the sum of magnitudes beside it.
          var z = [Double](repeating: 0, count: n)
          var zMagnitude = z
          for b in 0..<n {
            let row = token * n + b
            if s.dropout > 0,
              DropoutCases.bits((7, 0, draw), UInt32(row * paddedLanes + lane)) < threshold
            {
              continue
            }
            for q in 0..<m {
              let (factor, channel) = (v[lane * m + q] / (1 - Double(s.dropout)), token * s.width + b * m + q)
              z[b] += factor * x[channel]
              zMagnitude[b] += abs(factor) * xMagnitudes[channel]
            }
          }
          for row in 0..<n {
            var mixed = 0.0
            var mixedMagnitude = 0.0
            for b in 0..<n {
              mixed += a[(i * n + row) * n + b] * z[b]
              mixedMagnitude += abs(a[(i * n + row) * n + b]) * zMagnitude[b]
            }
            for p in 0..<m {
              let factor = scale * u[(i * m + p) * r + k]
              values[token * s.width + row * m + p] += factor * mixed
              magnitudes[token * s.width + row * m + p] += abs(factor) * mixedMagnitude
            }
          }
        }
      }
      if s.hasBias {
        for channel in 0..<s.width {
          values[token * s.width + channel] += scale * inputs[4][channel]
          magnitudes[token * s.width + channel] += abs(scale * inputs[4][channel])
        }
      }
    }
    return (values, magnitudes)
  }
}
