import GraftRuntime
import Testing

@testable import Graft

/// Kernels are known, and compiled, before the first of them is launched.
@Suite struct KernelsAheadTests {
  private static var recipe: TrainingRecipe {
    var recipe = Fixtures.recipe
    (recipe.epochs, recipe.batchSize) = (2, 8)
    return recipe
  }

  /// Nothing has been compiled on it, and what it launches is kept.
  private static func context() throws -> Context {
    let context = try Context(Fixtures.context.get().device)
    return context.tuned(context.tuning, isWatched: true)
  }

  private static func backbone(on context: Context) throws -> Backbone {
    try Backbone(path: Fixtures.smallPath, options: .init(heads: 4), on: context)
  }

  private static func kernels(training model: GraftedModel) throws -> [KernelKey] {
    try Rehearsal.kernelsOfTraining(
      model.backbone.shape, adapter: model.adapter, classes: model.classes.count, recipe: recipe, images: 16,
      validationImages: 11, recomputation: .norms, on: model.backbone.context)
  }

  private static func batch(_ count: Int, for model: GraftedModel) -> ImageBatch {
    let size = model.backbone.shape.imageSize
    return ImageBatch(
      count: count, imageSize: size, pixels: [UInt8](repeating: 99, count: count * size.count * 3),
      labels: [Int32](repeating: 0, count: count))
  }

  @Test(arguments: AdapterCatalog.names)
  func aRehearsalLaunchesWhatATrainingDoes(_ name: String) async throws {
    let context = try Self.context()
    let model = try GraftedModel.small(name, on: Self.backbone(on: context))
    _ = try await Trainer(model, recipe: Self.recipe).run(
      training: Fixtures.coloured(16), validation: Fixtures.coloured(11))
    let launched = Set(try #require(context.log).kernels)
    #expect(Set(try Self.kernels(training: model)) == launched)
  }

  @Test func aRehearsalLaunchesWhatAnAnswerDoes() throws {
    let context = try Self.context()
    let model = try GraftedModel.small("ila", on: Self.backbone(on: context))
    _ = try model.logits(Self.batch(1, for: model))
    let launched = Set(try #require(context.log).kernels)
    let kernels = try Rehearsal.kernelsOfInference(
      model.backbone.shape, adapter: model.adapter, classes: model.classes.count, batchSize: 1, on: context)
    #expect(Set(kernels) == launched)
  }

  @Test func nothingIsCompiledAfterThePreparation() throws {
    let context = try Self.context()
    let model = try GraftedModel.small("alore", on: Self.backbone(on: context))
    let other = try Self.context()
    let kernels = try Self.kernels(training: model)
    #expect(!kernels.allSatisfy { other.kernels.isPrepared($0) })
    let backbone = try other.preparing({ kernels }) { try Self.backbone(on: other) }
    #expect(kernels.allSatisfy { other.kernels.isPrepared($0) })

    let watch = CallWatch()
    try watch {
      let model = try GraftedModel.small("alore", on: backbone)
      try Trainer(model, recipe: Self.recipe).stepInPlace(Self.batch(8, for: model))
    }
    #expect(watch.calls["clEnqueueNDRangeKernel"] != nil && watch.calls["clBuildProgram"] == nil)
  }

  @Test func aPreparationEndsWithItsBody() throws {
    struct Refusal: Error {}
    let context = try Self.context()
    #expect(throws: Refusal.self) {
      try context.preparing({ [KernelKey("nothing", "nothing"), KernelKey("elementwise", "add")] }) {
        throw Refusal()
      }
    }
    // What cannot be compiled stops nothing.
    context.preparing({ [KernelKey("nothing", "nothing"), KernelKey("elementwise", "add")] }) {}
    #expect(context.kernels.isPrepared(KernelKey("elementwise", "add")))
  }
}
