import GraftOps

/// The blocks below everything trainable: the same pixels leave them the same in every pass.
struct FrozenPrefix {
  /// How many blocks these are; 0 where training begins at the bottom.
  let blocks: Int
  /// How many of the heads, from the shallowest, read what these blocks give and nothing else.
  let heads: Int
  /// Shape of what is kept of an image: what each of these heads reads, then, if anything reads them, the tokens.
  let shapes: [[Int]]

  init(
    _ shape: BackboneShape, sites: GraftedSites, heads: [ClassificationHead], trainsClassToken: Bool
  ) {
    let blocks = trainsClassToken ? 0 : sites.frozenBlocks(depth: shape.depth)
    let isChangedAfter = sites.isTaken(.afterBlock(blocks - 1))
    self.blocks = blocks
    let isChangedAtEnd = shape.end.operations.contains { sites.isTaken(.on($0.id)) }
    let inside = heads.prefix {
      ($0.blocks < blocks || ($0.blocks == blocks && !isChangedAfter)) && !($0.readsFeature && isChangedAtEnd)
    }
    self.heads = inside.count
    let start = shape.start
    let read = inside.map { [$0.readsFeature ? shape.featureWidth : start.width] }
    shapes = inside.count == heads.count ? read : read + [[start.count, start.width]]
  }

  /// Floats that are kept of an image.
  var count: Int { shapes.reduce(0) { $0 + $1.reduce(1, *) } }
}
