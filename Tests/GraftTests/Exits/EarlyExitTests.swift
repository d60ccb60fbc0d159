// swift-format-ignore-file: NeverForceUnwrap

import Foundation
import GraftOps
import GraftSystem
import Testing

@testable import Graft

/// Early exits: heads at growing depth over any host, and images that leave there.
@Suite(.serialized) struct EarlyExitTests {
  static let hosts = ["linear", "alore", "ila", "repadapter", "bitfit", "vpt-deep"]

  /// A model with exits after blocks 1, 3 and 4 of 6, moved away from its start.
  static func model(
    _ host: String = "alore", _ settings: [String: String] = [:], on vit: Backbone? = nil
  ) throws -> GraftedModel {
    let adapter = try AdapterCatalog.setting("host", to: host, of: Fixtures.adapter("dyn"))
    let changed = try settings.reduce(adapter) { try AdapterCatalog.setting($1.key, to: $1.value, of: $0) }
    let model = try GraftedModel(vit ?? Fixtures.smallViT(), adapter: changed, classes: GraftedModel.names)
    try model.perturb(by: 0.2)
    return model
  }

  /// The host alone with the same values.
  static func host(of model: GraftedModel) throws -> GraftedModel {
    let dyn = try #require(model.adapter as? Dyn)
    let host = try GraftedModel(model.backbone, adapter: dyn.host.adapter, classes: model.classes)
    for parameter in host.arena.parameters {
      try parameter.value.assign(model[parameter.name].value.floats())
    }
    for (own, other) in zip(host.statistics, model.statistics) {
      try own.values.load(mean: other.values.mean.floats(), variance: other.values.variance.floats())
    }
    return host
  }

  // MARK: Where images leave

  @Test(arguments: hosts)
  func thresholdAboveOneIsTheHostToTheBit(_ name: String) throws {
    let model = try Self.model(name)
    let images = Fixtures.noise(5)
    let expected = try Self.host(of: model).logits(images)
    let decisions = try model.decide(images, thresholds: [1.5])
    #expect(decisions.map(\.logits) == expected && decisions.allSatisfy { $0.exit == 3 })
    #expect(try model.logits(images) == expected)
    #expect(try model.predict(images, thresholds: [2, 2, 2]) == model.predict(images))
    // Asked at every exit, but never sure enough.
    #expect(try model.decide(images, thresholds: [1]).map(\.logits) == expected)
  }

  @Test(arguments: hosts)
  func thresholdZeroIsTheFirstHead(_ name: String) throws {
    let model = try Self.model(name)
    let images = Fixtures.noise(5)
    let decisions = try model.decide(images, thresholds: [0])
    #expect(decisions.allSatisfy { $0.exit == 0 })
    let heads = try model.logits(of: images, lastOnly: false, on: Tape())
    #expect(heads.count == 4)
    #expect(try decisions.map(\.logits) == model.rows(heads[0].floats()))
  }

  /// What stays is gathered: each image's way and logits are those it has alone.
  @Test(arguments: hosts)
  func everyImageGoesItsOwnWay(_ name: String) throws {
    let model = try Self.model(name)
    let images = Fixtures.noise(12)
    let heads = try model.logits(of: images, lastOnly: false, on: Tape()).map {
      try model.rows($0.floats())
    }
    // Thresholds between the confidences: a third leaves at each early exit.
    var staying = Array(0..<12)
    var expected = [Int](repeating: 3, count: 12)
    let thresholds: [Double] = (0..<3).map { exit in
      let sorted = staying.map { confidence(heads[exit][$0]) }.sorted(by: >)
      let cut = (sorted[2] + sorted[3]) / 2
      for image in staying where confidence(heads[exit][image]) >= cut { expected[image] = exit }
      staying.removeAll { expected[$0] == exit }
      return cut
    }
    let decisions = try model.decide(images, thresholds: thresholds)
    #expect(decisions.map(\.exit) == expected && Set(expected) == [0, 1, 2, 3])
    for (image, decision) in decisions.enumerated() {
      #expect(relativeError(decision.logits, heads[decision.exit][image]) < 1e-5)
    }
  }

  /// A model in a context of its own, whose profiler does not see what other tests do.
  private static func apart() throws -> (Context, GraftedModel) {
    let context = try Context(Fixtures.context.get().device)
    let vit = try Backbone(path: Fixtures.smallPath, options: .init(heads: 4), on: context)
    return (context, try model(on: vit))
  }

  /// Where all leave, the kernels above are not launched.
  @Test func leavingSavesWork() throws {
    let (context, model) = try Self.apart()
    func attentions(_ thresholds: [Double]) throws -> Int {
      _ = try model.decide(Fixtures.noise(4), thresholds: thresholds)
      let kernels = try context.profile { _ = try model.decide(Fixtures.noise(4), thresholds: thresholds) }
      return kernels.filter { $0.kernel.contains("attention") }.reduce(0) { $0 + $1.launches }
    }
    let whole = try attentions([2, 2, 2])
    #expect(whole > 0 && whole % 6 == 0)
    #expect(try attentions([0, 2, 2]) == whole / 6)
    #expect(try attentions([2, 0, 2]) == whole / 2)
    #expect(try attentions([2, 2, 0]) == whole / 6 * 4)
  }

  /// Where some leave, the kernels above have fewer rows.
  @Test(
    .enabled(if: Fixtures.timesKernels, "Rusticl of Mesa 22.3 says that every kernel takes a nanosecond"))
  func leavingSavesTime() throws {
    let (context, model) = try Self.apart()
    // Of 16 images all but one leave at the first exit: what is above it works on one.
    let images = Fixtures.noise(16)
    let first = try model.rows(model.logits(of: images, lastOnly: false, on: Tape())[0].floats())
    let sorted = first.map(confidence).sorted()
    let cut = [(sorted[0] + sorted[1]) / 2, 2, 2]
    #expect(try model.decide(images, thresholds: cut).map(\.exit).filter { $0 == 3 }.count == 1)
    func seconds(_ thresholds: [Double]) throws -> Double {
      try context.profile { _ = try model.decide(images, thresholds: thresholds) }
        .filter { $0.kernel != "gather_images" }.reduce(0) { $0 + $1.seconds }
    }
    _ = try seconds(cut)
    let ratio = try (0..<5).map { _ in try seconds(cut) / seconds([2, 2, 2]) }.min()!
    #expect(ratio < 0.6, "one of six blocks for 16 images and five for one took \(ratio) of six for 16")
  }

  // MARK: Gradients

  /// The loss of head e reaches what lies below it, and nothing above it.
  @Test(arguments: 0..<4) func gradientsStayBelowTheirHead(_ exit: Int) throws {
    let model = try Self.model("alore")
    let images = Fixtures.noise(4)
    let tape = Tape(.training(seed: 1))
    let logits = try model.logits(of: images, lastOnly: false, on: tape)
    let context = model.backbone.context
    let loss = try tape.crossEntropy(logits[exit], labels: Tensor(indices: images.labels, on: context))
    try model.arena.clearGradients()
    try tape.backward(from: loss, seed: Tensor([1], shape: [1], on: context))
    let blocks = [1, 3, 4, 6]
    for parameter in model.arena.parameters {
      let parts = parameter.name.split(separator: ".")
      let isBelow =
        switch parts[0] {
        case "blocks": Int(parts[1])! < blocks[exit]
        case "exits": Int(parts[1])! == blocks[exit]
        default: exit == 3
        }
      let isTouched = try parameter.gradient.floats().contains { $0 != 0 }
      #expect(isTouched == isBelow, "\(parameter.name), loss after block \(blocks[exit])")
    }
  }

  /// One backward pass gives the sum of the heads' gradients times their weights; the reported loss is their mean.
  @Test func lossIsTheWeightedSumOfTheHeads() throws {
    let model = try Self.model("alore")
    let images = Fixtures.noise(4)
    let weights: [Float] = [0.75, 0.75, 0.75, 0.75]
    #expect(model.lossWeights(0) == [1, 1, 1, 0.5] && model.lossWeights(0.5) == weights)
    #expect(model.lossWeights(1) == [0.5, 0.5, 0.5, 1])
    func gradients() throws -> [Float] { try model.arena.parameters.flatMap { try $0.gradient.floats() } }
    let context = model.backbone.context
    let progress = 0.25
    var (expected, sum) = ([Double](repeating: 0, count: model.arena.count), 0.0)
    for (exit, weight) in model.lossWeights(progress).enumerated() {
      try model.arena.clearGradients()
      let tape = Tape(.training(seed: 1))
      let logits = try model.logits(of: images, lastOnly: false, on: tape)[exit]
      let loss = try tape.crossEntropy(logits, labels: Tensor(indices: images.labels, on: context))
      try tape.backward(from: loss, seed: Tensor([0.5], shape: [1], on: context))
      for (index, value) in try gradients().enumerated() { expected[index] += Double(weight * value) }
      sum += try Double(weight * loss.floats()[0])
    }
    try model.arena.clearGradients()
    let loss = try Trainer.loss(
      model, images, recipe: Fixtures.recipe, seed: 1, share: 0.5, progress: progress)
    #expect(try relativeError(gradients(), expected.map(Float.init)) < 1e-5)
    let total = model.lossWeights(progress).reduce(0, +)
    #expect(try abs(Double(loss.floats()[0]) - sum / Double(total)) < 1e-5)
  }

  @Test func constantScheduleWeighsAllAlike() throws {
    let model = try Self.model("alore", ["schedule": "constant"])
    #expect(model.lossWeights(0) == [1, 1, 1, 1] && model.lossWeights(1) == [1, 1, 1, 1])
    #expect(try Self.model("alore", ["early_weight": "[2, 0]"]).lossWeights(0.5) == [1, 1, 1, 0.75])
  }

  // MARK: Sparsity

  /// The host drops as if it had been told so itself.
  @Test func dropoutReachesTheHost() throws {
    let model = try Self.model("alore", ["dropout": "[0.3, 0.1]"])
    let told = try AdapterCatalog.setting("dropout", to: "[0.3, 0.1]", of: ALoRE())
    let host = try GraftedModel(model.backbone, adapter: told, classes: model.classes)
    for parameter in host.arena.parameters {
      try parameter.value.assign(model[parameter.name].value.floats())
    }
    func logits(_ model: GraftedModel, seed: UInt64 = 3) throws -> [Float] {
      let tape = Tape(.training(seed: seed))
      return try model.logits(of: model.backbone.input(Fixtures.noise(2)), on: tape).floats()
    }
    #expect(try logits(model) == logits(host))
    #expect(try logits(model) != logits(model, seed: 4))
    // Left alone, the host keeps its own.
    let own = try Self.model("alore", ["dropout": "null", "host.dropout": "0"])
    #expect(try logits(own) == logits(own, seed: 4))
    #expect(Dyn().dropout == BlockRate(from: 0.3, to: 0.1))
  }

  /// Masked before clipping: the clipped step has the full length, and a share of the adapter does not move.
  @Test func gradientsAreMaskedBeforeClipping() async throws {
    func moves(_ drop: String) async throws -> (adapter: [Float], heads: [Float]) {
      let model = try Self.model("alore", ["gradient_drop": drop])
      let before = try model.arena.parameters.map { try $0.value.floats() }
      var recipe = Fixtures.recipe
      (recipe.epochs, recipe.clip, recipe.learningRate, recipe.weightDecay) = (1, 1e-2, 1, 0)
      (recipe.optimizer, recipe.schedule) = (.sgd(momentum: 0, nesterov: false), .constant)
      _ = try await Trainer(model, recipe: recipe).run(
        training: Fixtures.coloured(8), validation: Fixtures.coloured(3))
      let moved = try zip(model.arena.parameters, before).map {
        try zip($0.value.floats(), $1).map { $0 - $1 }
      }
      return (
        moved.prefix(model.adapterTensorCount).flatMap { $0 },
        moved.dropFirst(model.adapterTensorCount).flatMap { $0 }
      )
    }
    let (masked, whole) = (try await moves("0.5"), try await moves("0"))
    func still(_ values: [Float]) -> Double { Double(values.count { $0 == 0 }) / Double(values.count) }
    #expect(still(whole.adapter) < 0.1 && abs(still(masked.adapter) - still(whole.adapter) - 0.5) < 0.06)
    #expect(still(masked.heads) < 0.01 && still(whole.heads) < 0.01)
    for moved in [masked, whole] {
      let length = (moved.adapter + moved.heads).reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
      #expect(abs(length - 1e-2) < 2e-4, "\(length)")
    }
  }

  @Test func resumedRunEqualsUninterrupted() async throws {
    try await Fixtures.withFolder { folder in
      func run(_ name: String, stopAfter limit: Int?, resumes: Bool = false) async throws -> [String:
        [UInt32]]
      {
        let model = try GraftedModel(Fixtures.smallViT(), adapter: Dyn(), classes: GraftedModel.names)
        var recipe = Fixtures.recipe
        recipe.epochs = 3
        let steps = Counter()
        _ = try await Trainer(model, recipe: recipe, seed: 2, output: folder / name).run(
          training: Fixtures.coloured(24), validation: Fixtures.coloured(6), resumes: resumes,
          shouldStop: { limit.map { steps.next() >= $0 } ?? false })
        return try model.bits()
      }
      let whole = try await run("whole", stopAfter: nil)
      let stopped = try await run("cut", stopAfter: 5)
      #expect(stopped != whole)
      #expect(try await run("cut", stopAfter: nil, resumes: true) == whole)
    }
  }

  @Test func cachedClassTokensTrainToTheSameBits() async throws {
    func train(_ transform: Bool) async throws -> [String: [UInt32]] {
      let model = try GraftedModel(
        Fixtures.smallViT(), adapter: Dyn(host: LinearProbe()), classes: GraftedModel.names)
      #expect(model.frozenBlocks == 6 && model.prefix.heads == model.exitCount)
      var recipe = Fixtures.recipe
      recipe.epochs = 2
      let images = try Fixtures.coloured(16)
      _ = try await Trainer(model, recipe: recipe).run(
        training: transform ? Anonymous(source: images) : images as any BatchSource, validation: images)
      return try model.bits()
    }
    #expect(try await train(true) == train(false))
  }

  // MARK: Counts

  /// Costs of the bare ViT-B/16: 0.11561 + 1.45395 GMAC a block.
  @Test func costsOfTheExits() throws {
    let shape = try BackboneShape(named: "vit_base_patch16_224")
    let summary = try ModelSummary(shape, adapter: Dyn(host: LinearProbe()), classes: 100)
    #expect(summary.exits.map(\.blocks) == [3, 6, 9, 12])
    for (exit, expected) in zip(summary.exits, [4.477, 8.839, 13.201, 17.563]) {
      #expect(abs(exit.gmac - expected) < 0.0005)
      #expect(abs(exit.gmac - (0.11561 + 1.45395 * Double(exit.blocks))) < 1e-4)
    }
    #expect(summary.exits.last?.gmac == summary.gmac)
    // Whatever the host computes below an exit counts too.
    let alore = try ModelSummary(shape, adapter: Dyn(host: ALoRE()), classes: 100)
    let share = (alore.exits[0].gmac - summary.exits[0].gmac) / (alore.gmac - summary.gmac)
    #expect(abs(share - 0.25) < 1e-3)
    #expect(try ModelSummary(shape, adapter: ALoRE(), classes: 100).exits.map(\.gmac) == [alore.gmac])
  }

  /// Two MLPs of width 64, a linear head and three norms; the last head is the host's.
  @Test(arguments: [2, 10, 50, 100]) func parametersOfTheHeads(_ classes: Int) throws {
    let shape = try BackboneShape(named: "vit_base_patch16_224")
    func heads(_ adapter: any Adapter) throws -> Int {
      try ModelSummary(shape, adapter: adapter, classes: classes).headParameters
    }
    let mlps = 2 * (768 * 64 + 64 + 64 * classes + classes)
    let early = try heads(Dyn(host: ALoRE())) - heads(ALoRE())
    #expect(early == mlps + 769 * classes + 3 * 1536)
    #expect(try heads(Dyn(mlpExits: 0)) == 4 * 769 * classes + 3 * 1536)
    let dyn = try ModelSummary(shape, adapter: Dyn(host: ALoRE()), classes: classes)
    #expect(dyn.adapterParameters == 148_992)
    #expect(dyn.trainableParameters == dyn.adapterParameters + dyn.headParameters)
    // At the mean of VTAB-1k, 940 classes in 19 tasks; the count is linear in the classes.
    let mean = 103_040 + 899 * 940.0 / 19
    #expect(early == 103_040 + 899 * classes && Int(mean.rounded()) == 147_517)
  }

  @Test func headsStartAsTheBackbonesNorm() throws {
    let vit = try Fixtures.smallViT()
    let model = try GraftedModel(vit, adapter: Dyn(), classes: GraftedModel.names)
    for exit in [1, 3, 4] {
      #expect(try model["exits.\(exit).norm.weight"].value.floats() == vit.vector("norm.weight"))
      #expect(try model["exits.\(exit).norm.bias"].value.floats() == vit.vector("norm.bias"))
    }
    #expect(
      model.arena.parameters.filter { $0.name.contains("hidden") }.map(\.value.shape).first == [64, 64])
    #expect(model.arena.parameters.map(\.name).filter { $0.hasPrefix("exits.4.h") }.isEmpty)
  }

  // MARK: What does not fit

  @Test(arguments: [
    ("exits", "[]"), ("exits", "[3, 3]"), ("exits", "[4, 2]"), ("exits", "[0]"), ("exits", "[6]"),
    ("hidden", "0"), ("mlp_exits", "-1"), ("dropout", "1"), ("gradient_drop", "1"), ("gradient_drop", "-1"),
    ("early_weight", "[1]"), ("last_weight", "[0, 0]"), ("last_weight", "[-1, 1]"), ("host.bottleneck", "0"),
  ])
  func badSettingsAreRefused(_ name: String, _ value: String) throws {
    let adapter = try AdapterCatalog.setting(name, to: value, of: Dyn())
    let shape = try Fixtures.smallViT().shape
    #expect(throws: GraftError.self) { try adapter.plan(for: shape) }
  }

  @Test func hostsAreChecked() throws {
    #expect(throws: GraftError.unknownAdapter("aloer", nearest: "alore", known: AdapterCatalog.names)) {
      try AdapterCatalog.setting("host", to: "aloer", of: Dyn())
    }
    let shape = try BackboneShape(named: "vit_base_patch16_224")
    let nested = try AdapterCatalog.setting("host", to: "dyn", of: Dyn())
    #expect(throws: GraftError.siteTaken(site: "of the early exits", adapter: "dyn")) {
      try nested.plan(for: shape)
    }
    #expect(throws: GraftError.self) {
      try AdapterCatalog.setting("host.rnak", to: "4", of: Dyn(host: ALoRE()))
    }
    let changed = try AdapterCatalog.setting("host.rank", to: "8", of: Dyn(host: ALoRE()))
    #expect(changed as? Dyn == Dyn(host: ALoRE(rank: 8)))
    #expect(try JSONValue(encoding: changed).decoded(as: Dyn.self) == changed as? Dyn)
  }

  /// Two adapters that both want to stand before the attention.
  @Test func exclusiveSitesAreTakenOnce() throws {
    let shape = try BackboneShape(named: "vit_base_patch16_224")
    var plan = try ALoRE().plan(for: shape)
    #expect(
      throws: GraftError.siteTaken(site: "before the attention of block 0", adapter: "alore")
    ) { try plan.add(ALoRE().plan(for: shape), of: "alore") }
    var both = try ALoRE().plan(for: shape)
    try both.add(ILA(.ilaPlusPlus).plan(for: shape), of: "ila++")
    #expect(both.parameterCount == 148_992 + 354_032 && both.trainsClassToken)
  }

  @Test func badThresholdsAreRefused() throws {
    let model = try Self.model()
    for thresholds in [[], [0.5, 0.5], [0.1, 0.2, 0.3, 0.4], [.nan], [-0.5]] {
      #expect(throws: GraftError.self) { try model.decide(Fixtures.noise(1), thresholds: thresholds) }
    }
    let plain = try GraftedModel.small("alore")
    #expect(throws: GraftError.self) { try plain.decide(Fixtures.noise(1), thresholds: [0.5]) }
    #expect(try plain.decide(Fixtures.noise(2)).map(\.logits) == plain.logits(Fixtures.noise(2)))
  }

  @Test func cannotBeMerged() async throws {
    try await Fixtures.withFolder { folder in
      let model = try Self.model()
      #expect(throws: GraftError.self) { try model.merge(to: folder / "merged.safetensors") }
    }
  }
}

/// The same images, but nobody may know that they are.
private struct Anonymous: BatchSource {
  let source: any BatchSource
  var classNames: [String] { source.classNames }
  var count: Int { source.count }

  func batches(
    epoch: Int, batchSize: Int, imageSize: ImageSize, seed: UInt64, training: Bool
  ) -> AsyncThrowingStream<ImageBatch, any Error> {
    let stream = source.batches(
      epoch: epoch, batchSize: batchSize, imageSize: imageSize, seed: seed, training: training)
    return AsyncThrowingStream { continuation in
      Task {
        do {
          for try await batch in stream {
            continuation.yield(
              ImageBatch(
                count: batch.count, imageSize: batch.imageSize, pixels: batch.pixels, labels: batch.labels))
          }
          continuation.finish()
        } catch {
          continuation.finish(throwing: error)
        }
      }
    }
  }
}
