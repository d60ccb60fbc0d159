import GraftOps

/// Attention of all tokens to all: `attention(qkv(x))`.
struct FullAttention: PartBody {
  let heads: Int

  func callAsFunction(
    _ stream: Tokens, known: Tokens?, keeping kept: KeptTokens, _ part: FrozenPart, _ pass: Pass
  ) throws -> Tensor {
    let read = try pass.enter(part, stream, known: known)
    var queries: Int?
    if case .first(let count) = kept { queries = count }
    return try pass.tape.attention(
      pass.apply(part.first, to: read.values), heads: heads, queries: queries,
      variant: part.first.linear.attention)
  }
}
