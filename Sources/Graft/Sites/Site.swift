/// A place on a backbone where an adapter can join.
public enum Site: Hashable, Sendable {
  /// On the token sequence that a block receives, in sequence: prompts join here.
  case beforeBlock(Int)
  /// After a block, in sequence; the token grid may shrink here.
  case afterBlock(Int)
  /// In sequence on what a part reads, behind its norm.
  case before(Part.ID)
  /// In sequence on what a part gives, before that is added to the residual stream.
  case after(Part.ID)
  /// Beside a part: reads what it reads (the normalised tokens), adds to the residual stream.
  case beside(Part.ID)
  /// Around a part with its norm: reads the residual stream before the norm, adds to it after.
  case around(Part.ID)
  /// On one frozen operation: reads its input, changes its output; any number can stand there.
  case on(FrozenOperation.ID)

  /// Whether a site carries one module only: those in sequence.
  var isExclusive: Bool {
    switch self {
    case .beforeBlock, .afterBlock, .before, .after: true
    case .beside, .around, .on: false
    }
  }

  /// The block that it belongs to, from 0; `nil` before and behind all blocks.
  var block: Int? {
    switch self {
    case .beforeBlock(let block), .afterBlock(let block): block
    case .before(let part), .after(let part), .beside(let part), .around(let part): part.block
    case .on(let operation): operation.block
    }
  }

  /// Whole blocks that nothing at this site can change.
  func blocksBelow(depth: Int) -> Int {
    switch self {
    case .afterBlock(let block): block + 1
    case .on(let operation) where operation.home == .end: depth
    default: block ?? 0
    }
  }
}

extension Site: CustomStringConvertible {
  /// The site's name in messages.
  public var description: String {
    switch self {
    case .beforeBlock(let block): "before block \(block)"
    case .afterBlock(let block): "after block \(block)"
    case .before(let part): "before \(part)"
    case .after(let part): "after \(part)"
    case .beside(let part): "beside \(part)"
    case .around(let part): "around \(part)"
    case .on(let operation): "on \(operation)"
    }
  }
}
