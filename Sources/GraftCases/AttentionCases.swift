import GraftOps
import GraftSystem

/// Cases of attention.
package enum AttentionCases {
  /// Small shapes, of the variants that every CPU takes.
  package static let checks: [OperationCase] = checks([.cpu, .tiles])
  /// What is checked besides where a processor's bf16 dot product can be reached.
  package static let dotProductChecks: [OperationCase] = checks([.cpuDotProduct])

  private static func checks(_ variants: [AttentionVariant]) -> [OperationCase] {
    variants.flatMap {
      lengths($0) + askedByFew($0) + ($0 == .tiles ? [] : severalTiles($0)) + extremes($0) + biased($0)
    }
  }

  /// Sequences of one token, around the tiles of keys and queries; heads narrower and wider than a vector.
  private static func lengths(_ variant: AttentionVariant) -> [OperationCase] {
    [
      (1, 1, 1, 1), (2, 2, 3, 1), (1, 17, 2, 8), (2, 5, 5, 32), (1, 50, 1, 64), (1, 65, 2, 16), (1, 7, 2, 80),
      (1, 33, 1, 128), (1, 6, 4, 15),
    ].map { make(batch: $0, tokens: $1, heads: $2, headSize: $3, variant: variant) }
  }

  /// Fewer queries than tokens.
  private static func askedByFew(_ variant: AttentionVariant) -> [OperationCase] {
    [(1, 1, 5), (2, 1, 37), (1, 50, 69), (1, 1, 300)].map {
      make(batch: $0, tokens: $2, queries: $1, heads: 2, headSize: 16, variant: variant)
    }
  }

  /// Several tiles of keys for the wide variants, in the backward pass and in both.
  private static func severalTiles(_ variant: AttentionVariant) -> [OperationCase] {
    [(197, 8), (300, 4)].map { make(batch: 1, tokens: $0, heads: 1, headSize: $1, variant: variant) }
  }

  /// Scores of 1e4, whose exponentials would overflow, and scores that hardly differ.
  private static func extremes(_ variant: AttentionVariant) -> [OperationCase] {
    [Float(100), 0.01].map {
      make(batch: 1, tokens: 37, heads: 2, headSize: 16, size: $0, variant: variant)
    }
  }

  /// One table for all sequences and one for each class of them, with forbidden keys; one query, and several tiles of keys.
  private static func biased(_ variant: AttentionVariant) -> [OperationCase] {
    [
      make(batch: 1, tokens: 1, heads: 1, headSize: 1, biases: 1, variant: variant),
      make(batch: 3, tokens: 17, heads: 2, headSize: 16, biases: 1, variant: variant),
      make(batch: 5, tokens: 37, heads: 2, headSize: 8, biases: 2, variant: variant),
      make(batch: 2, tokens: 21, queries: 1, heads: 2, headSize: 16, biases: 2, variant: variant),
    ]
      + (variant == .tiles
        ? [] : [make(batch: 1, tokens: 300, heads: 1, headSize: 4, biases: 1, variant: variant)])
  }

  /// ViT-S and ViT-B at batch 8, at the lengths of ILA's stages and of larger images.
  package static let benchmarks =
    [6, 12].flatMap { heads in
      [50, 65, 197, 257, 577, 785].map { make(batch: 8, tokens: $0, heads: heads, headSize: 64) }
    } + [
      // BEiT, and the windows of Swin-B's first stage.
      make(batch: 8, tokens: 197, heads: 12, headSize: 64, biases: 1),
      make(batch: 8 * 64, tokens: 49, heads: 4, headSize: 32, biases: 64),
    ]

  /// ViT-B's where a processor's bf16 dot product can be reached.
  package static let dotProductBenchmarks = [50, 197, 577].map {
    make(batch: 8, tokens: $0, heads: 12, headSize: 64, variant: .cpuDotProduct)
  }

  private static func make(
    batch: Int, tokens: Int, queries: Int? = nil, heads: Int, headSize: Int, size: Float = 2,
    biases: Int = 0, variant: AttentionVariant? = nil
  ) -> OperationCase {
    let isPaired = variant == .cpuDotProduct
    let asked = queries ?? tokens
    let width = heads * headSize
    // Errors of the scores, of size sum |q k| * epsilon, move the probabilities: the scale is above that of the values.
    let magnitude = 2 * Double(size)
    // Numbers that bf16 holds too, and every seventh key forbidden, but never one's own.
    let bias = (0..<biases * heads * tokens * tokens).map { index -> Float in
      let (query, key) = (index / tokens % tokens, index % tokens)
      return (index + index / tokens) % 7 == 3 && query != key ? -1e9 : Float(index * 37 % 64) / 32 - 1
    }
    let biasShape = [biases, heads, tokens, tokens]
    var result = OperationCase(
      "attention",
      "\(batch)x\(heads)x\(tokens)x\(headSize)\(queries.map { " of \($0)" } ?? "")\(size == 2 ? "" : " in \(size)")\(biases == 0 ? "" : " biased by \(biases)")\(variant.map { " \($0)" } ?? "")",
      inputs: [.init([batch, tokens, 3 * width], in: -size...size, differentiable: true)],
      // Of pairs what goes into the sums is rounded, once each: the error does not grow with their length.
      terms: isPaired ? 1 : tokens + headSize,
      cost: .init(
        macs: Double(2 * batch * heads * asked * tokens * headSize),
        bytes: Double(4 * batch * width * (3 * tokens + asked))),
      prepared: { context in
        let table = biases == 0 ? nil : try Tensor(bias, shape: biasShape, on: context)
        return { tape, inputs in
          try tape.attention(inputs[0], heads: heads, queries: queries, bias: table, variant: variant)
        }
      },
      reference: { inputs in
        var values = [Double](repeating: 0, count: batch * asked * width)
        inputs[0].withUnsafeBufferPointer { qkv in
          for image in 0..<batch {
            for head in 0..<heads {
              attend(
                qkv, &values, image: image, head: head, tokens: tokens, queries: asked, width: width,
                headSize: headSize
              ) { query, key in
                guard biases > 0 else { return 0 }
                return Double(bias[((image % biases * heads + head) * tokens + query) * tokens + key])
              }
            }
          }
        }
        return .init(values, magnitudes: [Double](repeating: magnitude, count: values.count))
      })
    // Large scores must be exact: half a unit in their last place would turn a probability by as much.
    result.numbers = size > 2 ? .integers : isPaired ? .bfloats : .floats
    if isPaired { result.epsilon = 0x1p-7 }
    result.holdsRegisterTiles = variant == .cpu
    return result
  }

  private static func attend(
    _ qkv: UnsafeBufferPointer<Double>, _ values: inout [Double], image: Int, head: Int, tokens: Int,
    queries: Int, width: Int, headSize: Int, bias: (_ query: Int, _ key: Int) -> Double
  ) {
    let scale = 1 / Double(headSize).squareRoot()
    var scores = [Double](repeating: 0, count: tokens)
    for query in 0..<queries {
      let q = (image * tokens + query) * 3 * width + head * headSize
      for key in 0..<tokens {
        let k = (image * tokens + key) * 3 * width + width + head * headSize
        var sum = 0.0
        for c in 0..<headSize { sum += qkv[q + c] * qkv[k + c] }
        scores[key] = sum * scale + bias(query, key)
      }
      let most = scores.reduce(-Double.infinity, max)
      var total = 0.0
      for key in 0..<tokens {
        scores[key] = exp(scores[key] - most)
        total += scores[key]
      }
      let y = (image * queries + query) * width + head * headSize
      for key in 0..<tokens {
        let v = (image * tokens + key) * 3 * width + 2 * width + head * headSize
        let p = scores[key] / total
        for c in 0..<headSize { values[y + c] += p * qkv[v + c] }
      }
    }
  }
}
