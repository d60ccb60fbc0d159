import GraftData
import Synchronization
import Testing

@testable import Graft

/// The source is asked for the next pass's first batch while the pass before still runs.
@Suite struct PassAheadTests {
  /// Tells what it was asked for, and may hold a pass's end or beginning back.
  private final class Watched: BatchSource {
    let source: InMemoryImages
    private let asked = Mutex<[Int]>([])
    private let cancelled = Atomic(false)
    private let late = Atomic(false)
    private let endsWithNext: Bool
    private let hangs: Int?

    var classNames: [String] { source.classNames }
    var count: Int { source.count }
    /// The passes whose first batch was asked for.
    var passes: [Int] { asked.withLock { $0 } }
    /// Whether a pass ended before the next was asked for.
    var wasLate: Bool { late.load(ordering: .acquiring) }
    var wasCancelled: Bool { cancelled.load(ordering: .acquiring) }

    init(_ source: InMemoryImages, endsWithNext: Bool = false, hangs: Int? = nil) {
      (self.source, self.endsWithNext, self.hangs) = (source, endsWithNext, hangs)
    }

    func batches(
      epoch: Int, batchSize: Int, imageSize: ImageSize, seed: UInt64, training: Bool
    ) -> AsyncThrowingStream<ImageBatch, any Error> {
      let stream = source.batches(
        epoch: epoch, batchSize: batchSize, imageSize: imageSize, seed: seed, training: training)
      let isFirst = Atomic(true)
      return AsyncThrowingStream { [self] in
        if isFirst.exchange(false, ordering: .relaxed) { asked.withLock { $0.append(epoch) } }
        if hangs == epoch {
          do { try await Task.sleep(for: .seconds(60)) } catch {
            cancelled.store(true, ordering: .releasing)
            throw error
          }
        }
        var iterator = stream.makeAsyncIterator()
        if let batch = try await iterator.next() { return batch }
        // The end is told only when the next pass has been asked for.
        guard endsWithNext, epoch + 1 < Fixtures.recipe.epochs else { return nil }
        for _ in 0..<1000 where !passes.contains(epoch + 1) { try await Task.sleep(for: .milliseconds(10)) }
        if !passes.contains(epoch + 1) { late.store(true, ordering: .releasing) }
        return nil
      }
    }
  }

  private func trainer(_ source: any BatchSource) throws -> (Trainer, GraftedModel) {
    let model = try GraftedModel(
      Fixtures.smallViT(), adapter: LinearProbe(), classes: source.classNames, seed: 1)
    return (try Trainer(model, recipe: Fixtures.recipe, seed: 1, features: .none), model)
  }

  private func bits(_ model: GraftedModel) throws -> [[UInt32]] {
    try model.arena.parameters.map { try $0.value.floats().map(\.bitPattern) }
  }

  @Test func theNextPassBeginsBeforeThePassEnds() async throws {
    let images = try Fixtures.coloured(21)
    let source = Watched(images, endsWithNext: true)
    let (trainer, model) = try trainer(source)
    _ = try await trainer.run(training: source, validation: images)
    #expect(!source.wasLate)
    #expect(source.passes == Array(0..<Fixtures.recipe.epochs))
    let (plain, expected) = try self.trainer(images)
    _ = try await plain.run(training: images, validation: images)
    #expect(try bits(model) == bits(expected))
  }

  @Test func aRunThatStopsEndsThePassAhead() async throws {
    let images = try Fixtures.coloured(21)
    let source = Watched(images, hangs: 1)
    let (trainer, _) = try trainer(source)
    let isOver = Atomic(false)
    let result = try await trainer.run(
      training: source, validation: images, shouldStop: { isOver.load(ordering: .acquiring) }
    ) { event in
      if case .epoch = event { isOver.store(true, ordering: .releasing) }
    }
    #expect(result.wasInterrupted)
    for _ in 0..<1000 where !source.wasCancelled && source.passes.contains(1) {
      try await Task.sleep(for: .milliseconds(10))
    }
    #expect(source.wasCancelled || !source.passes.contains(1))
  }

  @Test func aFailureOfThePassAheadIsThrownInItsTurn() async throws {
    let images = try Fixtures.coloured(21)
    let (trainer, _) = try trainer(Failing(source: images))
    var passes = 0
    await #expect(throws: Failing.Fault.self) {
      _ = try await trainer.run(
        training: Failing(source: images), validation: images,
        onEvent: { if case .epoch = $0 { passes += 1 } })
    }
    #expect(passes == 1)
  }

  /// Has no second pass.
  private struct Failing: BatchSource {
    struct Fault: Error {}
    let source: InMemoryImages
    var classNames: [String] { source.classNames }
    var count: Int { source.count }

    func batches(
      epoch: Int, batchSize: Int, imageSize: ImageSize, seed: UInt64, training: Bool
    ) -> AsyncThrowingStream<ImageBatch, any Error> {
      epoch == 1
        ? AsyncThrowingStream { throw Fault() }
        : source.batches(
          epoch: epoch, batchSize: batchSize, imageSize: imageSize, seed: seed, training: training)
    }
  }
}
