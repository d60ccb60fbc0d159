package import GraftOps

extension TuningStep {
  /// What is tuned for a backbone: a block's frozen products, and its attention.
  package static func all(for shape: VisionTransformerShape, batchSize: Int) -> [TuningStep] {
    let width = shape.width
    return all(
      layers: [(3 * width, width), (width, width), (shape.hiddenWidth, width), (width, shape.hiddenWidth)],
      batch: batchSize, tokens: shape.tokens, heads: shape.heads, headSize: width / shape.heads)
  }
}
