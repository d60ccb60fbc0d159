package import GraftOps

extension TuningStep {
  /// What is tuned for a backbone: its blocks' frozen products of every shape, and its attention.
  package static func all(for shape: BackboneShape, batchSize: Int) -> [TuningStep] {
    var layers: [(outputs: Int, inputs: Int)] = []
    for operation in shape.blocks.flatMap(\.operations) where operation.role != .norm {
      if !layers.contains(where: { $0 == (operation.outputs, operation.inputs) }) {
        layers.append((operation.outputs, operation.inputs))
      }
    }
    var heads = 1
    for case .attention(let attention) in shape.parts.map(\.body) { heads = attention.heads }
    return all(
      layers: layers, batch: batchSize, tokens: shape.start.count, heads: heads,
      headSize: shape.start.width / heads)
  }
}
