import GraftOps
import GraftRuntime

extension Trainer {
  /// Runs a step of `count` images; when the device has no memory for it, says which batch would fit.
  func fittingBatch<Value>(_ count: Int, _ body: () throws -> Value) throws -> Value {
    do {
      return try body()
    } catch let error as RuntimeError where error.isOutOfMemory {
      throw GraftError.batchDoesNotFit(
        batch: count, fitting: fittingBatchSize(below: count), reason: "\(error)")
    }
  }

  nonisolated(nonsending) func fitting<Value>(_ body: () async throws -> Value) async throws -> Value {
    do {
      return try await body()
    } catch let error as RuntimeError where error.isOutOfMemory {
      throw GraftError.batchDoesNotFit(batch: 0, fitting: 0, reason: "\(error)")
    }
  }

  /// The largest batch whose training step fits, by trying: memory grows as a straight line with the batch,
  /// so two small steps tell the rest.
  ///
  /// 0 when not even one image fits.
  private func fittingBatchSize(below count: Int) -> Int {
    guard let one = peakBytes(of: 1) else { return 0 }
    guard let two = peakBytes(of: 2), two > one else { return 1 }
    let limit = model.backbone.context.memory.limit
    return max(1, min(count - 1, (limit - one) / (two - one) + 1))
  }

  private func peakBytes(of count: Int) -> Int? {
    let size = model.backbone.shape.imageSize
    let batch = ImageBatch(
      count: count, imageSize: size, pixels: [UInt8](repeating: 0, count: count * size * size * 3),
      labels: [Int32](repeating: 0, count: count))
    let memory = model.backbone.context.memory
    memory.resetPeak()
    // Gradients are spoilt, but the run has failed already.
    guard (try? Self.loss(model, batch, recipe: recipe, seed: 0, share: 0).floats()) != nil else {
      return nil
    }
    return memory.peakBytes
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
