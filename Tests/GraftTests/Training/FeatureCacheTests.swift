import Foundation
import GraftData
import GraftOps
import Testing

@testable import Graft

@Suite(.serialized) struct FeatureCacheTests {
  /// The same images, but nobody may know that they are.
  private struct Anonymous: BatchSource {
    let source: InMemoryImages
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

  /// Adapters on six blocks; how many lie below them, and how many heads read these alone.
  private static let prefixes: [(any Adapter, blocks: Int, heads: Int)] = [
    (LinearProbe(), 6, 1),
    (ILA(trainsClassToken: false), 2, 0),
    (ILA(trainsClassToken: false, locations: [1, 2]), 2, 0),
    // The exit behind block 2 reads what the module there made of it.
    (Dyn(host: ILA(trainsClassToken: false, locations: [1, 2]), exits: [1, 2, 3]), 2, 1),
    (Dyn(host: LinearProbe(), exits: [1, 3]), 6, 3),
    (ILA(), 0, 0), (ALoRE(), 0, 0), (BitFit(), 0, 0), (VPT(.deep), 0, 0),
  ]

  @Test(arguments: prefixes.indices) func prefixEndsBelowTheLowestSite(_ index: Int) throws {
    let (adapter, blocks, heads) = Self.prefixes[index]
    let model = try GraftedModel(Fixtures.smallViT(), adapter: adapter, classes: ["a", "b"])
    #expect(model.frozenBlocks == blocks)
    #expect(model.prefix.heads == heads)
  }

  private func train(
    _ adapter: any Adapter, on source: any BatchSource, _ features: FeatureStorage = .standard,
    _ recipe: TrainingRecipe = Fixtures.recipe
  ) async throws -> [[UInt32]] {
    let model = try GraftedModel(Fixtures.smallViT(), adapter: adapter, classes: source.classNames, seed: 1)
    let result = try await Trainer(model, recipe: recipe, seed: 1, features: features)
      .run(training: source, validation: source)
    let loss = UInt32(truncatingIfNeeded: try #require(result.validation).loss.bitPattern)
    return try model.arena.parameters.map { try $0.value.floats().map(\.bitPattern) } + [[loss]]
  }

  @Test(arguments: prefixes.indices.prefix(5)) func trainsToTheSameBitsWithAndWithoutIt(_ index: Int)
    async throws
  {
    let adapter = Self.prefixes[index].0
    let images = try Fixtures.coloured(21)
    let expected = try await train(adapter, on: Anonymous(source: images))
    #expect(try await train(adapter, on: images) == expected)
    #expect(try await train(adapter, on: images, .none) == expected)
    // Room for nothing, and for validation images in part.
    #expect(try await train(adapter, on: images, .memory(limit: 0)) == expected)
    #expect(try await train(adapter, on: images, .memory(limit: 20_000)) == expected)
    let folder = try TemporaryFolder()
    for _ in 0..<2 {
      let storage = FeatureStorage.folder(folder.file("features"), limit: 1 << 30)
      #expect(try await train(adapter, on: images, storage) == expected)
    }
  }

  @Test func regularisedBranchesAreNotKept() async throws {
    var recipe = Fixtures.recipe
    recipe.dropPath = 0.5
    let images = try Fixtures.coloured(21)
    let adapter = ILA(trainsClassToken: false)
    #expect(
      try await train(adapter, on: images, .standard, recipe) == train(adapter, on: images, .none, recipe))
  }

  private func batch(_ images: [UInt8]) -> ImageBatch {
    ImageBatch(
      count: images.count, imageSize: 1, pixels: images.flatMap { [$0, 0, 0] },
      identifiers: images.map { 7 * Int($0) })
  }

  /// Counts the batches that a cache asks for; an image's features are its first pixel, and ten times that twice.
  private struct Counter {
    let cache: FeatureCache
    var computed = 0

    init(_ store: any FeatureStore) throws {
      cache = FeatureCache(store, shapes: [[1], [2, 1]], on: try Fixtures.context.get())
    }

    mutating func ask(_ batch: ImageBatch) throws -> [Float] {
      let tensors = try cache.features(of: batch) {
        computed += 1
        let first = stride(from: 0, to: batch.pixels.count, by: 3).map { Float(batch.pixels[$0]) }
        let context = try Fixtures.context.get()
        return [
          try Tensor(first, shape: [batch.count, 1], on: context),
          try Tensor(first.flatMap { [10 * $0, 10 * $0] }, shape: [batch.count, 2, 1], on: context),
        ]
      }
      #expect(tensors.map(\.shape) == [[batch.count, 1], [batch.count, 2, 1]])
      return try tensors.flatMap { try $0.floats() }
    }
  }

  @Test func computesOnlyWhatItHasNotSeen() throws {
    var counter = try Counter(FeatureMemory(limit: 1 << 20))
    #expect(try counter.ask(batch([3, 1])) == [3, 1, 30, 30, 10, 10])
    #expect(try counter.ask(batch([1, 3])) == [1, 3, 10, 10, 30, 30])
    #expect(counter.computed == 1)
    #expect(try counter.ask(batch([1, 2])) == [1, 2, 10, 10, 20, 20])
    #expect(counter.computed == 2)
  }

  @Test func keepsNoMoreThanItsLimit() throws {
    // Rows of three floats: one fits, and a second would not.
    let memory = FeatureMemory(limit: 20)
    var counter = try Counter(memory)
    for _ in 0..<2 {
      for image: UInt8 in [5, 6] { _ = try counter.ask(batch([image])) }
      try counter.cache.flush()
    }
    #expect(counter.computed == 3)
    #expect((memory.bytes, memory.room) == (12, 8))
  }

  @Test func folderServesLaterRunsOfTheSameKindAlone() throws {
    let folder = try TemporaryFolder()
    func ask(_ about: String, limit: Int = 1 << 20) throws -> Int {
      var counter = try Counter(FeatureFolder(folder.file("features"), about: about, limit: limit))
      #expect(try counter.ask(batch([3, 1])) == [3, 1, 30, 30, 10, 10])
      #expect(try counter.ask(batch([1, 3])) == [1, 3, 10, 10, 30, 30])
      try counter.cache.flush()
      return counter.computed
    }
    #expect(try ask("one") == 1)
    #expect(try ask("one") == 0)
    #expect(try ask("two") == 1)
    // What others left counts: there is no room for a third.
    #expect(try ask("three", limit: 100) == 2)
    #expect(try ask("one", limit: 1) == 0)
  }

  @Test(arguments: ["cut", "not a number", "another kind", "another length"])
  func damagedFilesAreComputedAgain(_ damage: String) throws {
    let folder = try TemporaryFolder()
    func ask() throws -> Int {
      var counter = try Counter(FeatureFolder(folder.file("features"), about: "kind", limit: 1 << 20))
      #expect(try counter.ask(batch([3, 1])) == [3, 1, 30, 30, 10, 10])
      try counter.cache.flush()
      return counter.computed
    }
    #expect(try ask() == 1)
    let path = try #require(
      FileManager.default.subpaths(atPath: folder.file("features").string)?.first {
        $0.hasSuffix(".safetensors")
      })
    let file = folder.file("features/" + path)
    let names = try SafetensorsFile(path: file).names
    switch damage {
    case "cut":
      try Data(contentsOf: URL(fileURLWithPath: file.string)).dropLast(1).write(
        to: URL(fileURLWithPath: file.string))
    case "not a number":
      try Safetensors.write(
        names.map { ($0, [3], [1, .nan, 1]) }, metadata: ["graft_features": "kind"], to: file)
    case "another kind":
      try Safetensors.write(
        names.map { ($0, [3], [1, 1, 1]) }, metadata: ["graft_features": "other"], to: file)
    default:
      try Safetensors.write(names.map { ($0, [2], [1, 1]) }, metadata: ["graft_features": "kind"], to: file)
    }
    #expect(try ask() == 1)
    #expect(try ask() == 0)
  }

  @Test func randomBackbonesHaveNoFolder() throws {
    let shape = ViT(imageSize: 16, patchSize: 8, width: 32, depth: 1, heads: 2)
    let vit = try Backbone(randomly: shape, on: Fixtures.context.get())
    let model = try GraftedModel(vit, adapter: LinearProbe(), classes: ["a", "b"])
    let trainer = try Trainer(model, recipe: Fixtures.recipe, features: .folder("/nowhere", limit: 1))
    #expect(throws: GraftError.self) { try trainer.featureCaches(trainingImages: 1) }
  }

  @Test func augmentedImagesHaveNoIdentifier() async throws {
    let images = try Fixtures.coloured(8, transform: .ila(imageSize: 48))
    for training in [true, false] {
      let stream = images.batches(epoch: 0, batchSize: 4, imageSize: 48, seed: 1, training: training)
      for try await batch in stream { #expect(batch.identifiers.isEmpty == training) }
    }
  }
}
