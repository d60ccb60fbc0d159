/// What makes tokens of an image: `norm([tokens in front ; patches] + position)`.
public struct Stem: Sendable, Hashable {
  /// A stored table of positions.
  public struct Position: Sendable, Hashable {
    /// (1, front + cells, D).
    public let table: TensorSpec
    /// The grid that it was made for.
    public let grid: Grid
    /// How many of the tokens in front it covers; the others have no position.
    public let front: Int
  }

  /// The projection of patches to tokens.
  public let embedding: FrozenOperation
  /// Side of a patch in pixels.
  public let patchSize: Int
  /// The tokens in front of the cells, in their order; each (1, number, D).
  public let prefix: [TensorSpec]
  /// The stored positions; `nil` where blocks alone know them.
  public let position: Position?
  /// The norm behind the positions.
  public let norm: FrozenOperation?

  /// The class token, which some methods train; `nil` where there is none.
  var classToken: TensorSpec? { prefix.first { $0.name == "cls_token" } }

  var operations: [FrozenOperation] { [embedding] + (norm.map { [$0] } ?? []) }
  var tables: [TensorSpec] { prefix + (position.map { [$0.table] } ?? []) }
}
