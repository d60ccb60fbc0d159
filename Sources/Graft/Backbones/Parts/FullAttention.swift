import GraftOps

/// Attention of all tokens to all: `norm(attention(qkv(x)))`, the norm where there is one.
struct FullAttention: PartBody {
  let heads: Int
  let rotation: RotaryPosition?
  let relative: RelativePosition?
  let queryKeyNorm: HeadNormWeights?

  init(_ attention: Attention, _ shared: FrozenPart.Shared, _ reader: inout WeightReader) throws {
    heads = attention.heads
    rotation = attention.rotation.map { shared.rotary($0, heads: attention.heads) }
    relative = try attention.relativePositions.map {
      try RelativePosition(
        $0, heads: attention.heads, resampling: shared.resampling, &reader, on: shared.context)
    }
    queryKeyNorm = try attention.queryKeyNorm.map { norm in
      let values = try norm.tensors.map { try reader.values($0) }
      return try HeadNormWeights(
        queries: (values[0], values[1]), keys: (values[2], values[3]), epsilon: norm.epsilon,
        on: shared.context)
    }
  }

  func callAsFunction(
    _ stream: Tokens, known: Reading?, keeping kept: KeptTokens, _ part: FrozenPart, _ pass: Pass
  ) throws -> Tensor {
    let (tape, layout) = (pass.tape, stream.layout)
    var qkv = try pass.apply(part.first, to: pass.enter(part, stream, known: known))
    if let queryKeyNorm { qkv = try tape.headNorm(qkv, queryKeyNorm, heads: heads) }
    if let rotation {
      qkv = try tape.rotate(qkv, angles: rotation.table(of: layout), front: layout.front, heads: heads)
    }
    var queries: Int?
    if case .first(let count) = kept { queries = count }
    return try pass.normalized(
      tape.attention(
        qkv, heads: heads, queries: queries, bias: relative?.bias(of: layout),
        variant: part.first.linear.attention),
      part.innerNorm)
  }
}
