import GraftOps
import GraftRuntime
import Testing

@testable import Graft

@Suite struct RecomputationTests {
  private static func recipe() -> TrainingRecipe {
    var recipe = Fixtures.recipe
    (recipe.dropPath, recipe.backboneDropout) = (0.3, 0.2)
    return recipe
  }

  /// Every gradient and running statistic of a step, random numbers included.
  @Test(arguments: AdapterCatalog.names)
  func computesTheSameBits(_ name: String) throws {
    let batch = Fixtures.noise(6)
    func bits(_ recomputation: Recomputation) throws -> [String: [UInt32]] {
      let dropout = ["alore", "lora", "adapter"].contains(name) ? ["dropout": "0.2"] : [:]
      let model = try GraftedModel.small(name, dropout)
      try model.perturb()
      let loss = try Trainer.loss(
        model, batch, recipe: Self.recipe(), seed: 5, share: 1, recomputation: recomputation)
      var bits = try model.bits()
      bits["gradients"] = try model.arena.gradients.floats().map(\.bitPattern)
      bits["loss"] = try loss.floats().map(\.bitPattern)
      return bits
    }
    let expected = try bits(.norms)
    for more in [Recomputation.hidden, .blocks] { #expect(try bits(more) == expected, "\(more)") }
  }

  @Test func takesLessMemory() throws {
    let model = try GraftedModel.small("alore")
    func plan(_ recomputation: Recomputation) throws -> MemoryPlan {
      try Trainer(model, recipe: Fixtures.recipe, recomputation: recomputation)
        .memoryPlan(trainingImages: 64, validationImages: 6)
    }
    let plans = try Recomputation.allCases.map(plan)
    // A third less in a deep model; of these six blocks the last one keeps next to nothing in any case.
    for (kept, again) in zip(plans, plans.dropFirst()) {
      #expect(again.step * 6 < kept.step * 5, "\(again.step) of \(kept.step)")
    }
  }

  /// As after a step that runs out of memory halfway.
  @Test func whatIsNeverUnwoundIsFreed() throws {
    let context = try Context(Fixtures.context.get().device)
    let vit = try Backbone(path: Fixtures.smallPath, options: .init(heads: 4), on: context)
    let model = try GraftedModel.small("alore", on: vit)
    func pass() throws {
      _ = try model.logits(
        of: vit.input(Fixtures.noise(6)), on: Tape(.training(seed: 1), recomputation: .blocks))
    }
    // The first prepares weights, which stay.
    try pass()
    let before = context.memory.bytesInUse
    try pass()
    #expect(context.memory.bytesInUse == before)
  }

  @Test func planIsWhatTheRunTakes() async throws {
    let context = try Context(Fixtures.context.get().device)
    let vit = try Backbone(path: Fixtures.smallPath, options: .init(heads: 4), on: context)
    let trainer = try Trainer(
      .small("alore", on: vit), recipe: Fixtures.recipe, recomputation: .hidden)
    let plan = try trainer.memoryPlan(trainingImages: 12, validationImages: 6)
    let result = try await trainer.run(training: Fixtures.coloured(12), validation: Fixtures.coloured(6))
    #expect(abs(Double(plan.peak) / Double(result.peakDeviceBytes) - 1) < 0.02)
  }
}
