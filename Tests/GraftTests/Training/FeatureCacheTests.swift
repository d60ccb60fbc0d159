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
      epoch: Int, batchSize: Int, imageSize: Int, seed: UInt64, training: Bool
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

  @Test func probeTrainsToTheSameBitsWithAndWithoutIt() async throws {
    func train(_ source: any BatchSource) async throws -> [[UInt32]] {
      let model = try GraftedModel(
        Fixtures.smallViT(), adapter: LinearProbe(), classes: source.classNames, seed: 1)
      _ = try await Trainer(model, recipe: Fixtures.recipe, seed: 1)
        .run(training: source, validation: source)
      return try model.arena.parameters.map { try $0.value.floats().map(\.bitPattern) }
    }
    let images = try Fixtures.coloured(21)
    #expect(try await train(images) == train(Anonymous(source: images)))
  }

  @Test func computesOnlyWhatItHasNotSeen() throws {
    let context = try Fixtures.context.get()
    let cache = FeatureCache()
    var calls = 0
    func ask(_ identifiers: [Int]) throws -> [Float] {
      try cache.features(identifiers) {
        calls += 1
        return try [1, 10].map { head in
          try Tensor(identifiers.map { Float(head * $0) }, shape: [identifiers.count, 1], on: context)
        }
      }.flatMap { try $0.floats() }
    }
    #expect(try ask([3, 1]) == [3, 1, 30, 10])
    #expect(try ask([1, 3]) == [1, 3, 10, 30])
    #expect(calls == 1)
    #expect(try ask([1, 2]) == [1, 2, 10, 20])
    #expect(calls == 2)
  }

  @Test(arguments: [("linear", true), ("ila", false), ("alore", false)])
  func onlyAProbeTrainsItsHeadAlone(_ adapter: String, _ expected: Bool) throws {
    let model = try GraftedModel(
      Fixtures.smallViT(), adapter: AdapterCatalog.named(adapter), classes: ["a", "b"])
    #expect(model.trainsHeadsOnly == expected)
  }

  @Test func augmentedImagesHaveNoIdentifier() async throws {
    let images = try Fixtures.coloured(8, transform: .ila(imageSize: 48))
    for training in [true, false] {
      let stream = images.batches(epoch: 0, batchSize: 4, imageSize: 48, seed: 1, training: training)
      for try await batch in stream { #expect(batch.identifiers.isEmpty == training) }
    }
  }
}
