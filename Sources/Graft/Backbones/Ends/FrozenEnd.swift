import GraftOps
import GraftRuntime

/// What makes a feature of the tokens that leave the last block, on the device.
struct FrozenEnd {
  private let shape: End
  private let norm: FrozenNorm
  private let pool: FrozenAttentionPool?

  init(_ end: End, _ reader: inout WeightReader, on context: Context) throws {
    shape = end
    norm = try reader.norm(end.norm)
    pool = try end.pool.map { try FrozenAttentionPool($0, &reader, on: context) }
  }

  /// The feature (B, featureWidth).
  func callAsFunction(_ tokens: Tokens, _ pass: Pass) throws -> Tensor {
    if shape.poolsFirst { return try pass.normalized(pooled(tokens, on: pass.tape), norm) }
    switch shape.pooling {
    case .token: return try pass.normalized(pooled(tokens, on: pass.tape), norm)
    case .frontMean:
      let front = try tokens.first(shape.front, on: pass.tape)
      return try pass.tape.meanTokens(pass.normalized(front, norm).values, front: 0)
    case .mean: return try pooled(pass.normalized(tokens, norm), on: pass.tape)
    case .attention:
      guard let pool else { preconditionFailure("a pool is listed with its tensors") }
      let cells = try pass.tape.splitFront(pass.normalized(tokens, norm).values, count: tokens.layout.front)
        .rest
      return try pool(cells, on: pass.tape)
    }
  }

  /// Tokens behind the norm where that stands before the pooling, else as they are.
  func normalized(_ tokens: Tokens, _ pass: Pass) throws -> Tokens {
    try shape.poolsFirst ? tokens : pass.normalized(tokens, norm)
  }

  /// Tokens pooled without anything learned, (B, D): the mean of the cells where a learned query would attend.
  func pooled(_ tokens: Tokens, on tape: Tape) throws -> Tensor {
    switch shape.pooling {
    case .token: try tape.token(tokens.values, at: 0)
    case .frontMean: try tape.meanTokens(tokens.first(shape.front, on: tape).values, front: 0)
    case .mean, .attention: try tape.meanTokens(tokens.values, front: tokens.layout.front)
    }
  }
}
