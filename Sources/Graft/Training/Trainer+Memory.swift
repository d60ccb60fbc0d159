import GraftOps
import GraftRuntime

extension Trainer {
  /// Runs a step of `count` images; when the device has no memory for it, says which batch would fit.
  func fittingBatch<Value>(_ count: Int, _ body: () throws -> Value) throws -> Value {
    do {
      return try body()
    } catch let error as RuntimeError where error.isOutOfMemory {
      // The attempts spoil the gradients, but the run has failed already.
      let fitting = model.fittingBatchSize(below: count) { batch in
        _ = try Self.loss(model, batch, recipe: recipe, seed: 0, share: 0).floats()
      }
      throw GraftError.batchDoesNotFit(batch: count, fitting: fitting, reason: "\(error)")
    }
  }
}

extension GraftedModel {
  /// The largest batch for which `step` has memory; 0 when not even one image fits.
  ///
  /// Memory grows nearly as a straight line with the batch: two small steps foretell the answer, and trying it makes it
  /// sure.
  func fittingBatchSize(below count: Int, _ step: (ImageBatch) throws -> Void) -> Int {
    let memory = backbone.context.memory
    let size = backbone.shape.imageSize
    func peakBytes(of count: Int) -> Int? {
      memory.resetPeak()
      let batch = ImageBatch(
        count: count, imageSize: size, pixels: [UInt8](repeating: 0, count: count * size * size * 3),
        labels: [Int32](repeating: 0, count: count))
      return (try? step(batch)) == nil ? nil : memory.peakBytes
    }
    guard count > 1, let one = peakBytes(of: 1) else { return 0 }
    guard count > 2, let two = peakBytes(of: 2) else { return 1 }
    var fitting = min(count - 1, (memory.limit - one) / max(1, two - one) + 1)
    while fitting > 2, peakBytes(of: fitting) == nil { fitting -= max(1, fitting / 8) }
    return max(2, fitting)
  }
}

extension RuntimeError {
  /// The device had no room for what was asked.
  var isOutOfMemory: Bool {
    switch self {
    case .outOfMemory, .allocationTooLarge: true
    default: false
    }
  }
}
