/// What makes a feature of the tokens that leave the last block.
public struct End: Sendable, Hashable {
  /// How tokens become one row.
  public enum Pooling: String, Codable, Sendable, Hashable {
    /// The first token is read.
    case token
  }

  /// The norm.
  public let norm: FrozenOperation
  /// How tokens become one row.
  public let pooling: Pooling

  var operations: [FrozenOperation] { [norm] }

  /// Channels of the feature.
  public var width: Int { norm.outputs }

  /// How many of the first tokens are read; `nil` where all are.
  var keptTokens: Int? { 1 }
}
