/// What makes tokens of an image: `[tokens in front ; patches] + position`.
public struct Stem: Sendable, Hashable {
  /// The projection of patches to tokens.
  public let embedding: FrozenOperation
  /// Side of a patch in pixels.
  public let patchSize: Int
  /// The tokens in front of the cells, in their order; each (1, number, D).
  public let prefix: [TensorSpec]
  /// The stored table of positions.
  public let position: TensorSpec
  /// The grid that the table was made for.
  public let positionGrid: Grid

  /// The class token, which some methods train; `nil` where there is none.
  var classToken: TensorSpec? { prefix.first { $0.name == "cls_token" } }

  var operations: [FrozenOperation] { [embedding] }
  var tables: [TensorSpec] { prefix + [position] }
}
