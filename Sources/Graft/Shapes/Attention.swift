/// How the tokens of an image attend to one another.
public struct Attention: Sendable, Hashable {
  /// Number of heads.
  public let heads: Int
  /// Positions that are turned into queries and keys.
  public var rotation: Rotary?
  /// Norms of each head's queries and keys.
  public var queryKeyNorm: QueryKeyNorm?
  /// A learned number for each pair of relative positions, added to the scores.
  public var relativePositions: RelativePositions?

  /// Layer normalisation of each head's queries and keys, over the channels of a head.
  public struct QueryKeyNorm: Sendable, Hashable {
    /// Weight and bias of the queries', then of the keys'.
    public let tensors: [TensorSpec]
    /// Added to the variance.
    public let epsilon: Float

    init(_ module: String, headWidth: Int, epsilon: Float) {
      tensors = ["q_norm", "k_norm"].flatMap {
        [
          TensorSpec("\(module).\($0).weight", [headWidth], .scale),
          TensorSpec("\(module).\($0).bias", [headWidth], .bias),
        ]
      }
      self.epsilon = epsilon
    }
  }

  /// The table of relative positions: `(2 side - 1)^2` offsets of cells, then what the token in front and the cells give each
  /// other: front to cell, cell to front, front to front.
  public struct RelativePositions: Sendable, Hashable {
    /// ((2 side - 1)^2 + 3, heads).
    public let table: TensorSpec
    /// Side of the grid that it was made for.
    public let side: Int

    init(_ name: String, side: Int, heads: Int, front: Int) {
      table = TensorSpec(name, [(2 * side - 1) * (2 * side - 1) + (front > 0 ? 3 : 0), heads])
      self.side = side
    }
  }

  /// Tensors that belong to no operation.
  var tables: [TensorSpec] {
    (queryKeyNorm?.tensors ?? []) + (relativePositions.map { [$0.table] } ?? [])
  }
}
