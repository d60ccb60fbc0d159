/// A place on a backbone where an adapter can join.
public enum Site: Hashable, Sendable, CustomStringConvertible {
  /// Between a block's first norm and its attention: what stands here is applied in sequence.
  case beforeAttention(block: Int)
  /// Between a block's second norm and its MLP, in sequence.
  case beforeMLP(block: Int)
  /// Beside a block's attention: reads what attention reads, adds to the residual stream.
  case besideAttention(block: Int)
  /// Beside a block's MLP: reads what the MLP reads, adds to the residual stream.
  case besideMLP(block: Int)
  /// After a block; the token grid may shrink here.
  case afterBlock(Int)

  /// The site's name in messages.
  public var description: String {
    switch self {
    case .beforeAttention(let block): "before the attention of block \(block)"
    case .beforeMLP(let block): "before the MLP of block \(block)"
    case .besideAttention(let block): "beside the attention of block \(block)"
    case .besideMLP(let block): "beside the MLP of block \(block)"
    case .afterBlock(let block): "after block \(block)"
    }
  }
}
