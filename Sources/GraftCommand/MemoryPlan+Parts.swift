import Graft

extension MemoryPlan {
  /// The purposes that memory is for, and the sum.
  var parts: [(name: String, bytes: Int)] {
    [
      ("frozen weights", backbone), ("frozen weights, for gradients", transposed),
      ("trained, with gradients", trainable),
      ("optimiser", optimizer), ("images, activations, work space", step), ("peak", peak),
    ]
  }

  /// Bytes by purpose.
  var json: JSONValue {
    .object([
      "backbone_bytes": .integer(backbone), "transposed_bytes": .integer(transposed),
      "trainable_bytes": .integer(trainable), "optimizer_bytes": .integer(optimizer),
      "step_bytes": .integer(step),
      "peak_bytes": .integer(peak),
    ])
  }
}
