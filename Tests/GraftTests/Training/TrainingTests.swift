// swift-format-ignore-file: NeverForceUnwrap

import Foundation
import GraftData
import GraftOps
import GraftSystem
import Synchronization
import Testing

@testable import Graft

/// Whole runs on a few coloured pictures.
@Suite(.serialized) struct TrainingTests {
  @Test(arguments: AdapterCatalog.names)
  func learnsColours(_ name: String) async throws {
    let model = try GraftedModel.small(name)
    var recipe = Fixtures.recipe
    recipe.epochs = 8
    var losses: [Double] = []
    let result = try await Trainer(model, recipe: recipe).run(
      training: Fixtures.coloured(48), validation: Fixtures.coloured(30, seed: 99),
      onEvent: { if case .epoch(_, _, let loss, _) = $0 { losses.append(loss) } })
    #expect(result.validation!.top1 > 0.9)
    #expect(result.validation!.count == 30 && result.steps == 48)
    #expect(result.bestTop1 >= result.validation!.top1 && !result.wasInterrupted)
    #expect(losses.count == 8 && losses[7] < losses[0] / 2, "\(losses)")
  }

  @Test func sameSeedGivesTheSameBits() async throws {
    func train(seed: UInt64) async throws -> [String: [UInt32]] {
      let model = try GraftedModel(
        Fixtures.smallViT(), adapter: ILA(.ilaPlusPlus), classes: GraftedModel.names, seed: seed)
      var recipe = Fixtures.recipe
      recipe.epochs = 1
      recipe.backboneDropout = 0.1
      _ = try await Trainer(model, recipe: recipe, seed: seed).run(
        training: Fixtures.coloured(24), validation: Fixtures.coloured(6))
      return try model.bits()
    }
    let first = try await train(seed: 3)
    #expect(try await train(seed: 3) == first)
    #expect(try await train(seed: 4) != first)
  }

  /// Two half batches give the gradient of the whole one where no batch statistics are involved.
  @Test func accumulationEqualsAFullBatch() async throws {
    let whole = try await Self.sgd(images: 24, batch: 8, accumulation: 1)
    let halves = try await Self.sgd(images: 24, batch: 4, accumulation: 2)
    #expect(whole.losses.count == 6 && halves.losses.count == 6)
    for (a, b) in zip(whole.losses, halves.losses) { #expect(abs(a - b) < 1e-4 * a) }
    #expect(relativeError(halves.values, whole.values) < 1e-4)
    // A group that the pass leaves incomplete is a mean of what there is.
    let alone = try await Self.sgd(images: 4, batch: 4, accumulation: 1)
    let incomplete = try await Self.sgd(images: 4, batch: 4, accumulation: 2)
    #expect(alone.values == incomplete.values && alone.losses == incomplete.losses)
  }

  /// Two epochs of gradient descent, unclipped: clipping would hide a wrong scale of the gradients.
  private static func sgd(
    images: Int, batch: Int, accumulation: Int
  ) async throws -> (values: [Float], losses: [Double]) {
    let model = try GraftedModel.small("alore", ["has_bias": "true"])
    var recipe = Fixtures.recipe
    recipe.epochs = 2
    recipe.batchSize = batch
    recipe.accumulation = accumulation
    recipe.optimizer = .sgd(momentum: 0.9, nesterov: true)
    recipe.clip = 0
    var losses: [Double] = []
    _ = try await Trainer(model, recipe: recipe).run(
      training: Fixtures.coloured(images), validation: Fixtures.coloured(6),
      onEvent: { if case .step(_, _, _, let loss, _, _) = $0 { losses.append(loss) } })
    return (try model.arena.values.floats(), losses)
  }

  @Test func incompleteGroupIsAStep() async throws {
    var events: [Int] = []
    var recipe = Fixtures.recipe
    recipe.epochs = 1
    recipe.accumulation = 2
    recipe.batchSize = 4
    let result = try await Trainer(GraftedModel.small("linear"), recipe: recipe).run(
      training: Fixtures.coloured(21), validation: Fixtures.coloured(6),
      onEvent: { if case .step(_, let step, _, _, _, _) = $0 { events.append(step) } })
    // 21 images are five batches of four; those are three steps.
    #expect(result.steps == 3 && events == [1, 2, 3])
  }

  @Test func batchLargerThanTheDataIsTheData() async throws {
    var recipe = Fixtures.recipe
    recipe.epochs = 2
    recipe.batchSize = 1000
    let result = try await Trainer(GraftedModel.small("ila"), recipe: recipe).run(
      training: Fixtures.coloured(6), validation: Fixtures.coloured(3))
    #expect(result.steps == 2)
  }

  @Test func evaluatesEverySoManyPasses() async throws {
    var evaluated: [Int] = []
    var recipe = Fixtures.recipe
    recipe.epochs = 5
    _ = try await Trainer(GraftedModel.small("linear"), recipe: recipe).run(
      training: Fixtures.coloured(8), validation: Fixtures.coloured(3), evaluatesEvery: 2,
      onEvent: {
        if case .epoch(let epoch, _, _, let validation) = $0, validation != nil { evaluated.append(epoch) }
      })
    #expect(evaluated == [2, 4, 5])
  }

  // MARK: What goes wrong

  @Test func divergingRunStopsAndNamesTheStep() async throws {
    try await Fixtures.withFolder { folder in
      var recipe = Fixtures.recipe
      recipe.learningRate = 1e30
      recipe.schedule = .constant
      let trainer = try Trainer(GraftedModel.small("alore"), recipe: recipe, output: folder)
      // Nothing was saved yet, and the error does not claim it was.
      await #expect(throws: GraftError.lossNotFinite(step: 2, checkpoint: nil)) {
        try await trainer.run(training: Fixtures.coloured(24), validation: Fixtures.coloured(6))
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.string) == ["metrics.jsonl"])
    }
  }

  @Test func nanKeepsTheLastGoodCheckpoint() async throws {
    try await Fixtures.withFolder { folder in
      let model = try GraftedModel.small("ila")
      let trainer = try Trainer(model, recipe: Fixtures.recipe, output: folder)
      let files = ["checkpoint.safetensors", "adapter_model.safetensors", "best/adapter_model.safetensors"]
      var kept: [Data] = []
      await #expect(throws: GraftError.lossNotFinite(step: 4, checkpoint: folder / "checkpoint.safetensors"))
      {
        try await trainer.run(
          training: Fixtures.coloured(24), validation: Fixtures.coloured(6),
          onEvent: { event in
            guard case .epoch = event else { return }
            kept = try files.map { try Data(contentsOf: URL(fileURLWithPath: (folder / $0).string)) }
            let weight = model["blocks.3.ila.up.weight"].value
            try weight.assign([.nan] + weight.floats().dropFirst())
          })
      }
      #expect(try files.map { try Data(contentsOf: URL(fileURLWithPath: (folder / $0).string)) } == kept)
      // The checkpoint is a good one: the run goes on from it.
      let fresh = try GraftedModel.small("ila", on: model.backbone)
      let result = try await Trainer(fresh, recipe: Fixtures.recipe, output: folder).run(
        training: Fixtures.coloured(24), validation: Fixtures.coloured(6), resumes: true)
      #expect(result.steps == 12)
    }
  }

  @Test(arguments: ["linear", "ila", "alore"])
  func outOfMemorySaysWhichBatchFits(_ name: String) async throws {
    let device = try Fixtures.context.get().device
    func model(limit: Int?) throws -> GraftedModel {
      let context = try Context(device, memoryLimit: limit)
      return try GraftedModel.small(
        name, on: Backbone(path: Fixtures.smallPath, options: .init(heads: 4), on: context))
    }
    func train(_ model: GraftedModel, batch: Int) async throws {
      var recipe = Fixtures.recipe
      recipe.epochs = 1
      recipe.batchSize = batch
      _ = try await Trainer(model, recipe: recipe).run(
        training: Fixtures.coloured(100), validation: Fixtures.coloured(100))
    }
    let free = try model(limit: nil)
    try await train(free, batch: 24)
    let limit = free.backbone.context.memory.peakBytes
    let error = await #expect(throws: GraftError.self) { try await train(model(limit: limit), batch: 100) }
    guard case .batchDoesNotFit(batch: 100, let fitting, let reason) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect((16...40).contains(fitting), "\(reason)")
    #expect(error!.description.contains("--batch-size \(fitting)"))
    #expect(reason.contains("limit"))
    try await train(model(limit: limit), batch: fitting)
  }

  @Test func evaluationOutOfMemorySaysWhichBatchFits() async throws {
    let context = try Context(Fixtures.context.get().device, memoryLimit: 8 << 20)
    let model = try GraftedModel.small(
      "linear", on: Backbone(path: Fixtures.smallPath, options: .init(heads: 4), on: context))
    let images = try Fixtures.coloured(200)
    let error = await #expect(throws: GraftError.self) { try await model.evaluate(images, batchSize: 200) }
    guard case .batchDoesNotFit(batch: 200, let fitting, _) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect((1..<200).contains(fitting))
    #expect(try await model.evaluate(images, batchSize: fitting).count == 200)
  }

  @Test func unwritableOutputFailsBeforeTraining() async throws {
    try await Fixtures.withFolder { folder in
      let file = folder / "file"
      try Data().write(to: URL(fileURLWithPath: file.string))
      let model = try GraftedModel.small("linear")
      for output in [file, file / "run", "/proc/graft"] {
        #expect(throws: CheckpointError.self) {
          try Trainer(model, recipe: Fixtures.recipe, output: output)
        }
      }
    }
  }

  /// What could not be saved at the end is refused at the start.
  @Test func unsavableModelFailsBeforeTraining() async throws {
    try await Fixtures.withFolder { folder in
      let shape = ViT(imageSize: 16, patchSize: 8, width: 32, depth: 1, heads: 1)
      let random = try Backbone(randomly: shape, on: Fixtures.context.get())
      let twice = try GraftedModel(Fixtures.smallViT(), adapter: LinearProbe(), classes: ["a", "a"])
      for model in [try GraftedModel(random, adapter: LinearProbe(), classes: ["a", "b"]), twice] {
        #expect(throws: GraftError.self) { try Trainer(model, recipe: Fixtures.recipe, output: folder) }
        _ = try Trainer(model, recipe: Fixtures.recipe)
      }
    }
  }

  @Test func singleRowBatchNormIsRefused() async throws {
    // Two ILA modules leave one cell of a 5x5 grid: one image has one row of statistics.
    let vit = try Fixtures.smallViT(imageSize: 40)
    let model = try GraftedModel.small("ila", on: vit)
    var recipe = Fixtures.recipe
    recipe.batchSize = 1
    await #expect(throws: OperationError.singleRowBatch(channels: 8)) {
      try await Trainer(model, recipe: recipe).run(
        training: Fixtures.coloured(6, size: 40), validation: Fixtures.coloured(3, size: 40))
    }
    recipe.batchSize = 2
    recipe.epochs = 1
    let result = try await Trainer(model, recipe: recipe).run(
      training: Fixtures.coloured(5, size: 40), validation: Fixtures.coloured(3, size: 40))
    #expect(result.steps == 2)
  }

  @Test func otherClassesAreRefused() async throws {
    let model = try GraftedModel.small("linear")
    let two = try Fixtures.coloured(6, classes: 2)
    let expected = GraftError.wrongClasses(model: GraftedModel.names, data: ["red", "green"])
    await #expect(throws: expected) { try await model.evaluate(two) }
    await #expect(throws: expected) {
      try await Trainer(model, recipe: Fixtures.recipe).run(training: Fixtures.coloured(6), validation: two)
    }
    #expect(expected.description.contains("Only in the model: blue"))
  }

  @Test func badRecipesAreRefused() throws {
    let changes: [(String, (inout TrainingRecipe) -> Void)] = [
      ("epochs", { $0.epochs = 0 }), ("epochs", { $0.epochs = .max }), ("batch size", { $0.batchSize = 0 }),
      ("accumulation", { $0.accumulation = .max }), ("learning rate", { $0.learningRate = .nan }),
      ("learning rate", { $0.learningRate = -1 }), ("weight decay", { $0.weightDecay = -1 }),
      ("clip", { $0.clip = .infinity }), ("label smoothing", { $0.labelSmoothing = 1 }),
      ("backbone dropout", { $0.backboneDropout = 1 }), ("drop path", { $0.dropPath = 1 }),
    ]
    for (expected, change) in changes {
      var recipe = Fixtures.recipe
      change(&recipe)
      let error = #expect(throws: GraftError.self) { try recipe.validate() }
      guard case .badSetting(expected, _, _) = error else {
        Issue.record("\(expected): \(String(describing: error))")
        continue
      }
    }
  }
}
