import GraftOps
import GraftRuntime

extension Trainer {
  /// The device memory that a run over so many images needs.
  ///
  /// - Throws: `RuntimeError` when a single tensor is larger than the device allows.
  public func memoryPlan(trainingImages: Int, validationImages: Int) throws -> MemoryPlan {
    let counts = [trainingImages, validationImages]
    if let lastPlan, lastPlan.counts == counts { return lastPlan.plan }
    let backbone = model.backbone
    let plan = try MemoryPlan.training(
      backbone.shape, adapter: model.adapter, classes: model.classes.count, recipe: recipe,
      trainingImages: trainingImages, validationImages: validationImages,
      recomputation: recomputation, on: backbone.context)
    lastPlan = (counts, plan)
    return plan
  }

  /// Refuses a run that the memory limit has no room for, before its first step.
  func requireMemory(trainingImages: Int, validationImages: Int) throws {
    let context = model.backbone.context
    let plan = try memoryPlan(trainingImages: trainingImages, validationImages: validationImages)
    // Whatever else lives on the device, such as another model.
    let others = max(0, context.memory.bytesInUse - (plan.peak - plan.step))
    let limit = context.memory.limit - others
    guard plan.peak > limit else { return }
    let rehearsal = try Rehearsal(
      model.backbone.shape, adapter: model.adapter, classes: model.classes.count, recipe: recipe,
      recomputation: recomputation, on: context.rehearsal(memoryLimit: limit))
    do {
      // Within a limit the pool is emptied now and then: less may do.
      _ = try rehearsal.training(
        batchSize: recipe.batchSize, images: trainingImages, validationImages: validationImages)
    } catch let error as RuntimeError where error.isOutOfMemory {
      let batch = min(recipe.batchSize, trainingImages)
      throw GraftError.batchDoesNotFit(
        batch: batch, fitting: rehearsal.fittingBatchSize(below: batch),
        reason: "it needs \(plan.peak) bytes of a limit of \(limit)")
    }
  }

  /// Runs a step of `count` images; when the device has no memory for it, says which batch would fit.
  func fittingBatch<Value>(_ count: Int, _ body: () throws -> Value) throws -> Value {
    do {
      return try body()
    } catch let error as RuntimeError where error.isOutOfMemory {
      // The attempts spoil gradients and running statistics, but the run has failed already and goes back.
      let fitting = model.fittingBatchSize(below: count) { batch in
        _ = try Self.loss(
          model, batch, recipe: recipe, seed: 0, share: 0, recomputation: recomputation
        ).floats()
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
        count: count, imageSize: size, pixels: [UInt8](repeating: 0, count: count * size.count * 3),
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
