import GraftRuntime
import Testing

@testable import Graft

@Suite struct MemoryPlanTests {
  private static func model(
    _ name: String, size: ImageSize? = nil, limit: Int? = nil
  ) throws -> GraftedModel {
    let context = try Context(Fixtures.context.get().device, memoryLimit: limit)
    return try GraftedModel.small(
      name, on: Backbone(path: Fixtures.smallPath, options: .init(imageSize: size, heads: 4), on: context))
  }

  private static func trainer(_ model: GraftedModel, accumulation: Int = 1) throws -> Trainer {
    var recipe = Fixtures.recipe
    (recipe.epochs, recipe.batchSize, recipe.accumulation) = (2, 8, accumulation)
    return try Trainer(model, recipe: recipe)
  }

  /// The validation set leaves a batch of 3.
  @Test(arguments: AdapterCatalog.names, [1, 2])
  func isWhatTheRunTakes(_ name: String, accumulation: Int) async throws {
    try await compare(Self.model(name), accumulation: accumulation)
  }

  @Test(arguments: ["linear", "alore", "ila", "vpt-deep", "convpass"])
  func isWhatARunOnImagesThatAreNoSquaresTakes(_ name: String) async throws {
    try await compare(Self.model(name, size: .init(height: 40, width: 72)), accumulation: 1)
  }

  /// What the blocks below are found to give is kept, and takes no more memory on the device.
  @Test func isWhatARunOverKeptFeaturesTakes() async throws {
    let model = try GraftedModel(
      Self.model("linear").backbone, adapter: ILA(trainsClassToken: false),
      classes: Fixtures.coloured(3).classNames)
    #expect(model.frozenBlocks == 2)
    try await compare(model, accumulation: 1)
  }

  private func compare(_ model: GraftedModel, accumulation: Int) async throws {
    let trainer = try Self.trainer(model, accumulation: accumulation)
    let size = model.backbone.shape.imageSize
    let plan = try trainer.memoryPlan(trainingImages: 16, validationImages: 11)
    let result = try await trainer.run(
      training: Fixtures.coloured(16, size: size), validation: Fixtures.coloured(11, size: size))
    let ratio = Double(plan.peak) / Double(result.peakDeviceBytes)
    #expect(abs(ratio - 1) < 0.02, "planned \(plan), taken \(result.peakDeviceBytes)")
    // What lasts is counted by itself.
    let memory = model.backbone.context.memory
    #expect(memory.bytesInUse == plan.peak - plan.step)
  }

  @Test func leavesDeviceAndModelAlone() throws {
    let model = try Self.model("alore")
    let memory = model.backbone.context.memory
    memory.resetPeak()
    let (before, values) = (memory.peakBytes, try model.arena.values.floats())
    _ = try Self.trainer(model).memoryPlan(trainingImages: 16, validationImages: 11)
    #expect(memory.peakBytes - before <= 4 * 4 * values.count, "the optimiser alone")
    #expect(try model.arena.values.floats() == values)
  }

  @Test func useTakesLessThanTraining() throws {
    let model = try Self.model("ila")
    let (shape, context) = (model.backbone.shape, model.backbone.context)
    let training = try Self.trainer(model).memoryPlan(trainingImages: 8, validationImages: 8)
    let use = try MemoryPlan.inference(shape, adapter: model.adapter, classes: 3, batchSize: 8, on: context)
    #expect(use.transposed == 0 && use.optimizer == 0)
    #expect(use.backbone == training.backbone && use.trainable == training.trainable)
    #expect(use.step < training.step)
    let one = try MemoryPlan.inference(shape, adapter: model.adapter, classes: 3, batchSize: 1, on: context)
    #expect(one.step < use.step)
  }

  /// One byte less than the plan may still do, because the pool can be emptied; a quarter less does not.
  @Test func runBeyondTheLimitDoesNotBegin() async throws {
    let peak = try Self.trainer(Self.model("alore")).memoryPlan(trainingImages: 16, validationImages: 8).peak
    let model = try Self.model("alore", limit: peak * 3 / 4)
    let values = try model.arena.values.floats()
    let error = await #expect(throws: GraftError.self) {
      try await Self.trainer(model).run(training: Fixtures.coloured(16), validation: Fixtures.coloured(8))
    }
    guard case .batchDoesNotFit(batch: 8, let fitting, _) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect((1..<8).contains(fitting))
    #expect(try model.arena.values.floats() == values)
  }
}
