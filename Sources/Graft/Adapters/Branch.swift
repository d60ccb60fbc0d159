/// One of the two branches of a block, for adapters that treat both alike.
enum Branch: String, CaseIterable {
  case attention = "attn"
  case mlp

  /// In sequence before the branch, behind its norm.
  func before(_ block: Int) -> Site {
    self == .attention ? .beforeAttention(block: block) : .beforeMLP(block: block)
  }

  /// Beside the branch, reading the same normalised tokens.
  func beside(_ block: Int) -> Site {
    self == .attention ? .besideAttention(block: block) : .besideMLP(block: block)
  }

  /// On what the branch adds to the residual stream.
  func after(_ block: Int) -> Site {
    self == .attention ? .afterAttention(block: block) : .afterMLP(block: block)
  }

  /// The frozen linear layer that reads what stands before the branch.
  func first(_ block: Int) -> FrozenOperation {
    self == .attention ? .qkv(block: block) : .fc1(block: block)
  }
}
