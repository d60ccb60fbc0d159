// swift-format-ignore-file: NeverForceUnwrap

import Foundation
import GraftData
import GraftOps
import GraftSystem
import Synchronization
import Testing

@testable import Graft

/// Stopping and going on gives the bits of a run that was not stopped.
@Suite(.serialized) struct ResumeTests {
  static let optimizers: [TrainingRecipe.Optimizer] = [
    .adamW(beta1: 0.9, beta2: 0.999, epsilon: 1e-8), .sgd(momentum: 0.9, nesterov: true),
  ]

  /// Everything at once: dropout in adapter and backbone, running statistics, accumulation, augmentation.
  static func recipe(_ optimizer: TrainingRecipe.Optimizer) -> TrainingRecipe {
    var recipe = Fixtures.recipe
    recipe.optimizer = optimizer
    recipe.epochs = 3
    recipe.batchSize = 4
    recipe.accumulation = 2
    recipe.backboneDropout = 0.1
    recipe.dropPath = 0.3
    recipe.labelSmoothing = 0.1
    return recipe
  }

  static func model(_ seed: UInt64 = 5) throws -> GraftedModel {
    try GraftedModel(Fixtures.smallViT(), adapter: ILA(), classes: GraftedModel.names, seed: seed)
  }

  static func data(_ count: Int = 20, seed: UInt64 = 1) throws -> InMemoryImages {
    try Fixtures.coloured(
      count, seed: seed,
      transform: ImageTransform(resize: .squash(54), trainingCrop: .random, flipProbability: 0.5))
  }

  /// A run that is asked to stop at the `stop`-th question; five batches an epoch make three steps.
  @discardableResult
  static func run(
    _ folder: FilePath, _ recipe: TrainingRecipe, stopAt stop: Int = .max, resumes: Bool = false
  ) async throws -> (result: Trainer.Result, model: GraftedModel) {
    let model = try model()
    let asked = Mutex(0)
    let result = try await Trainer(model, recipe: recipe, seed: 5, output: folder).run(
      training: data(), validation: Fixtures.coloured(9), resumes: resumes,
      shouldStop: {
        asked.withLock {
          $0 += 1
          return $0 >= stop
        }
      })
    return (result, model)
  }

  /// The files of a run that must not depend on interruptions.
  static func files(_ folder: FilePath) throws -> [String: Data] {
    let names = [
      "adapter_model.safetensors", "adapter_config.json", "best/adapter_model.safetensors", "metrics.jsonl",
      "checkpoint.safetensors",
    ]
    return try Dictionary(
      uniqueKeysWithValues: names.map {
        ($0, try Data(contentsOf: URL(fileURLWithPath: (folder / $0).string)))
      })
  }

  @Test(arguments: optimizers)
  func resumedRunEqualsUninterrupted(_ optimizer: TrainingRecipe.Optimizer) async throws {
    try await Fixtures.withFolder { folder in
      let recipe = Self.recipe(optimizer)
      let whole = try await Self.run(folder / "whole", recipe)
      #expect(whole.result.steps == 9)
      let expected = try (files: Self.files(folder / "whole"), bits: whole.model.bits())

      // In the middle of the first epoch; at the end of the first; in the middle of the second.
      for (stop, steps) in [(2, 2), (4, 3), (5, 4)] {
        let name = folder / "stop\(stop)"
        let first = try await Self.run(name, recipe, stopAt: stop)
        #expect(first.result.wasInterrupted && first.result.steps == steps)
        let second = try await Self.run(name, recipe, resumes: true)
        #expect(!second.result.wasInterrupted && second.result.steps == 9)
        #expect(try second.model.bits() == expected.bits, "stopped after \(steps) steps")
        #expect(try Self.files(name) == expected.files, "stopped after \(steps) steps")
        #expect(second.result.validation!.loss == whole.result.validation!.loss)
        #expect(second.result.bestTop1 == whole.result.bestTop1)
      }
    }
  }

  @Test func stoppingAfterEveryStepEqualsUninterrupted() async throws {
    try await Fixtures.withFolder { folder in
      let recipe = Self.recipe(Self.optimizers[0])
      try await Self.run(folder / "whole", recipe)
      var steps: [Int] = []
      repeat {
        let (result, _) = try await Self.run(folder / "cut", recipe, stopAt: 1, resumes: true)
        steps.append(result.steps)
        if !result.wasInterrupted { break }
      } while steps.count < 20
      #expect(steps == Array(1...9))
      #expect(try (Self.files(folder / "cut") == Self.files(folder / "whole")))
    }
  }

  @Test func metricsHaveOneLineAStep() async throws {
    try await Fixtures.withFolder { folder in
      let recipe = Self.recipe(Self.optimizers[0])
      try await Self.run(folder, recipe, stopAt: 5)
      // A process that was killed may have written lines that no checkpoint covers, the last one half.
      let path = folder / "metrics.jsonl"
      let before = try text(path)
      let beyond = #"{"epoch":2,"event":"step","learning_rate":1,"loss":9,"step":5}"#
      try AtomicFile.write(before + beyond + "\n" + beyond.prefix(20), to: path)
      try await Self.run(folder, recipe, resumes: true)

      let lines = try text(path).split(separator: "\n").map {
        try JSONDecoder().decode(JSONValue.self, from: Data($0.utf8)).objectValue!
      }
      let steps = lines.filter { $0["event"] == "step" }.map { $0["step"]!.intValue! }
      #expect(steps == Array(1...9))
      let epochs = lines.filter { $0["event"] == "epoch" }
      #expect(epochs.map { $0["epoch"]!.intValue! } == [1, 2, 3])
      #expect(epochs.allSatisfy { $0["top1"]?.doubleValue != nil })
      #expect(lines.count == 12)
      for (epoch, line) in epochs.enumerated() {
        let losses = lines.filter { $0["event"] == "step" && $0["epoch"] == .integer(epoch + 1) }
          .map { $0["loss"]!.doubleValue! }
        #expect(abs(line["loss"]!.doubleValue! - losses.reduce(0, +) / 3) < 1e-12)
      }
      #expect(!lines.contains { $0["loss"] == 9 })
    }
  }

  @Test func finishedRunResumesToItself() async throws {
    try await Fixtures.withFolder { folder in
      let recipe = Self.recipe(Self.optimizers[0])
      let whole = try await Self.run(folder, recipe)
      let files = try Self.files(folder)
      let again = try await Self.run(folder, recipe, resumes: true)
      #expect(again.result.steps == 9 && again.result.validation!.top1 == whole.result.validation!.top1)
      #expect(try Self.files(folder) == files)
    }
  }

  @Test func anotherRunIsRefused() async throws {
    try await Fixtures.withFolder { folder in
      var recipe = Self.recipe(Self.optimizers[0])
      recipe.epochs = 1
      try await Self.run(folder, recipe, stopAt: 1)
      let before = try Data(contentsOf: URL(fileURLWithPath: (folder / "checkpoint.safetensors").string))
      func refuse(
        _ words: String, _ model: GraftedModel? = nil, _ changed: TrainingRecipe? = nil, seed: UInt64 = 5,
        images: Int = 20, pictures: UInt64 = 1, sourceLocation: SourceLocation = #_sourceLocation
      ) async throws {
        let trainer = try Trainer(
          model ?? Self.model(), recipe: changed ?? recipe, seed: seed, output: folder)
        let data = try Self.data(images, seed: pictures)
        let error = await #expect(throws: GraftError.self, sourceLocation: sourceLocation) {
          try await trainer.run(training: data, validation: Fixtures.coloured(9), resumes: true)
        }
        guard case .cannotResume(_, let reason) = error else {
          Issue.record("\(String(describing: error))", sourceLocation: sourceLocation)
          return
        }
        #expect(reason.contains(words), sourceLocation: sourceLocation)
      }
      let names = GraftedModel.names
      var longer = recipe
      longer.epochs = 2
      try await refuse("recipe", nil, longer)
      try await refuse("seed", seed: 6)
      try await refuse("adapter", GraftedModel.small("alore"))
      try await refuse(
        "adapter", GraftedModel(Fixtures.smallViT(), adapter: ILA(dropout: 0.2), classes: names))
      try await refuse("number of training images", images: 19)
      try await refuse("training images", pictures: 2)
      try await refuse(
        "image size", GraftedModel(Fixtures.smallViT(imageSize: 40), adapter: ILA(), classes: names))
      let context = try Fixtures.context.get()
      let half = try Backbone(
        path: Fixtures.smallPath, options: .init(heads: 2), on: context)
      try await refuse("heads", GraftedModel(half, adapter: ILA(), classes: names))
      let resampled = try Fixtures.smallViT(resampling: .bilinearHalfPixel)
      try await refuse("resampling", GraftedModel(resampled, adapter: ILA(), classes: names))
      #expect(
        try Data(contentsOf: URL(fileURLWithPath: (folder / "checkpoint.safetensors").string)) == before)
    }
  }

  /// The bits would not be those of a run that was not stopped.
  @Test func anotherTuningIsRefused() async throws {
    func model(_ change: (inout Tuning) -> Void) throws -> GraftedModel {
      let context = try Fixtures.context.get()
      var tuning = Tuning.default(for: context.traits)
      change(&tuning)
      let vit = try Backbone(
        path: Fixtures.smallPath, options: .init(heads: 4), on: context.tuned(tuning))
      return try GraftedModel(vit, adapter: ILA(), classes: GraftedModel.names, seed: 5)
    }
    let changes: [(inout Tuning) -> Void] = [{ _ in }, { $0.attention.forwardKeys = 16 }]
    for (began, resumed) in [(0, 1), (1, 0)] {
      try await Fixtures.withFolder { folder in
        var recipe = Self.recipe(Self.optimizers[0])
        recipe.epochs = 1
        func run(_ model: GraftedModel, stops: Bool = false) async throws -> Trainer.Result {
          try await Trainer(model, recipe: recipe, seed: 5, output: folder).run(
            training: Self.data(), validation: Fixtures.coloured(9), resumes: true, shouldStop: { stops })
        }
        _ = try await run(model(changes[began]), stops: true)
        let error = await #expect(throws: GraftError.self) { try await run(model(changes[resumed])) }
        #expect("\(try #require(error))".contains("the device's tuning (see graft tune"))
        // What changes no bit does not matter.
        let same = try model {
          changes[began](&$0)
          $0.matmul.rows = 4
        }
        #expect(try await run(same).steps == 3)
      }
    }
  }

  /// Runs of versions without tunings had the defaults.
  @Test func checkpointsWithoutATuningAreResumed() throws {
    let model = try Self.model()
    let identity = TrainingState.Identity(
      recipe: Fixtures.recipe, seed: 1, adapter: .null, backboneHash: "",
      shape: .init(model.backbone.shape.architecture),
      positionResampling: .bicubicAntialias, precision: .fp32, classes: [], trainingImages: 0,
      trainingData: "", tuning: nil)
    let text = String(decoding: try JSONEncoder().encode(identity), as: UTF8.self)
    #expect(!text.contains("tuning"))
    #expect(try JSONDecoder().decode(TrainingState.Identity.self, from: Data(text.utf8)) == identity)
  }

  /// Layer scale rounds otherwise since it left the weight; runs on backbones without go on whoever began them.
  @Test(arguments: ["dinov2", "beit", "plain", "siglip"])
  func runsBegunUnderAnotherArithmeticAreRefused(_ backbone: String) async throws {
    let vit = try TinyBackbone(name: backbone).backbone()
    let hasLayerScale = ["dinov2", "beit"].contains(backbone)
    try #require(vit.shape.vit.hasLayerScale == hasLayerScale)
    func run(_ folder: FilePath, stops: Bool = false) async throws -> Trainer.Result {
      let model = try GraftedModel(vit, adapter: BitFit(), classes: GraftedModel.names, seed: 5)
      return try await Trainer(model, recipe: Fixtures.recipe, seed: 5, output: folder).run(
        training: Fixtures.coloured(20, size: 16), validation: Fixtures.coloured(9, size: 16), resumes: true,
        shouldStop: { stops })
    }
    try await Fixtures.withFolder { folder in
      _ = try await run(folder, stops: true)
      let path = folder / "checkpoint.safetensors"
      let file = try SafetensorsFile(path: path)
      var metadata = file.metadata
      let key = "graft_training_state"
      let ours = "\"arithmetic\":2,"
      let state = try #require(metadata[key])
      #expect(state.contains(ours) == hasLayerScale && state.contains("arithmetic") == hasLayerScale)
      for theirs in hasLayerScale ? ["", "\"arithmetic\":3,", ours] : [""] {
        metadata[key] = state.replacing(ours, with: theirs)
        try Safetensors.write(
          file.names.map { try .init(copying: $0, from: file) }, metadata: metadata, to: path)
        let before = try bytes(path)
        guard hasLayerScale, theirs != ours else {
          #expect(try await !run(folder).wasInterrupted)
          continue
        }
        let error = await #expect(throws: GraftError.self) { try await run(folder) }
        guard case .cannotResume(_, let reason) = error else {
          Issue.record("\(String(describing: error))")
          continue
        }
        #expect(reason.contains("layer scale") && reason.contains("train anew into another folder"))
        #expect(try bytes(path) == before)
      }
    }
  }

  @Test func damagedCheckpointIsRefused() async throws {
    try await Fixtures.withFolder { folder in
      let recipe = Self.recipe(Self.optimizers[0])
      try await Self.run(folder, recipe, stopAt: 1)
      let path = folder / "checkpoint.safetensors"
      let whole = try Data(contentsOf: URL(fileURLWithPath: path.string))
      try whole.dropLast(100).write(to: URL(fileURLWithPath: path.string))
      await #expect(throws: CheckpointError.self) { try await Self.run(folder, recipe, resumes: true) }
      // A file of another kind is named as such.
      try FileManager.default.removeItem(atPath: path.string)
      try FileManager.default.copyItem(atPath: Fixtures.smallPath.string, toPath: path.string)
      await #expect(throws: GraftError.self) { try await Self.run(folder, recipe, resumes: true) }
    }
  }
}
