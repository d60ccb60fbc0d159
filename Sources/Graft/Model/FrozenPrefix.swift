import GraftOps

/// The blocks below everything trainable: the same pixels leave them the same in every pass.
struct FrozenPrefix {
  /// How many blocks these are; 0 where training begins at the bottom.
  let blocks: Int
  /// How many of the heads, from the shallowest, read what these blocks give and nothing else.
  let heads: Int
  /// Shape of what is kept of an image: a class token for each of these heads, then, if anything reads them, the tokens.
  let shapes: [[Int]]

  init(
    _ shape: VisionTransformerShape, sites: GraftedSites, heads: [ClassificationHead], trainsClassToken: Bool
  ) {
    let blocks = trainsClassToken ? 0 : sites.frozenBlocks(depth: shape.depth)
    let isChangedAfter = sites.isTaken(.afterBlock(blocks - 1))
    self.blocks = blocks
    self.heads = heads.prefix { $0.blocks < blocks || ($0.blocks == blocks && !isChangedAfter) }.count
    let classTokens = [[Int]](repeating: [shape.width], count: self.heads)
    shapes = self.heads == heads.count ? classTokens : classTokens + [[shape.tokens, shape.width]]
  }

  /// Floats that are kept of an image.
  var count: Int { shapes.reduce(0) { $0 + $1.reduce(1, *) } }
}
