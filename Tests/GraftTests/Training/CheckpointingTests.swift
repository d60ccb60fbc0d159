import GraftOps
import GraftRuntime
import Testing

@testable import Graft

@Suite struct CheckpointingTests {
  private static func recipe() -> TrainingRecipe {
    var recipe = Fixtures.recipe
    (recipe.dropPath, recipe.backboneDropout) = (0.3, 0.2)
    return recipe
  }

  /// Every gradient and running statistic of a step, random numbers included.
  @Test(arguments: AdapterCatalog.names)
  func computesTheSameBits(_ name: String) throws {
    let batch = Fixtures.noise(6)
    func bits(_ checkpointsBlocks: Bool) throws -> [String: [UInt32]] {
      let dropout = ["alore", "lora", "adapter"].contains(name) ? ["dropout": "0.2"] : [:]
      let model = try GraftedModel.small(name, dropout)
      try model.perturb()
      let loss = try Trainer.loss(
        model, batch, recipe: Self.recipe(), seed: 5, share: 1, checkpointsBlocks: checkpointsBlocks)
      var bits = try model.bits()
      bits["gradients"] = try model.arena.gradients.floats().map(\.bitPattern)
      bits["loss"] = try loss.floats().map(\.bitPattern)
      return bits
    }
    #expect(try bits(true) == bits(false))
  }

  @Test func takesLessMemory() throws {
    let model = try GraftedModel.small("alore")
    func plan(_ checkpointsBlocks: Bool) throws -> MemoryPlan {
      try Trainer(model, recipe: Fixtures.recipe, checkpointsBlocks: checkpointsBlocks)
        .memoryPlan(trainingImages: 64, validationImages: 6)
    }
    let (kept, again) = (try plan(false), try plan(true))
    #expect(again.step < kept.step * 2 / 3, "\(again.step) of \(kept.step)")
    #expect(again.peak - again.step == kept.peak - kept.step)
  }

  /// As after a step that runs out of memory halfway.
  @Test func whatIsNeverUnwoundIsFreed() throws {
    let context = try Context(Fixtures.context.get().device)
    let vit = try VisionTransformer(path: Fixtures.smallPath, options: .init(heads: 4), on: context)
    let model = try GraftedModel.small("alore", on: vit)
    let before = context.memory.bytesInUse
    _ = try model.logits(
      of: vit.patchMatrix(Fixtures.noise(6)), on: Tape(.training(seed: 1), checkpoints: true))
    #expect(context.memory.bytesInUse == before)
  }

  @Test func planIsWhatTheRunTakes() async throws {
    let context = try Context(Fixtures.context.get().device)
    let vit = try VisionTransformer(path: Fixtures.smallPath, options: .init(heads: 4), on: context)
    let trainer = try Trainer(
      .small("alore", on: vit), recipe: Fixtures.recipe, checkpointsBlocks: true)
    let plan = try trainer.memoryPlan(trainingImages: 12, validationImages: 6)
    let result = try await trainer.run(training: Fixtures.coloured(12), validation: Fixtures.coloured(6))
    #expect(abs(Double(plan.peak) / Double(result.peakDeviceBytes) - 1) < 0.02)
  }
}
