import Foundation
import Graft
import GraftSystem
import Synchronization
import Testing

@testable import GraftData

@Suite struct BatchPipelineTests {
  /// Counts the crops that were made, and lets a test slow them down.
  private final class Counter: Sendable {
    private let value = Atomic(0)
    var count: Int { value.load(ordering: .sequentiallyConsistent) }
    func add() { value.add(1, ordering: .sequentiallyConsistent) }
  }

  private func stream(
    samples: Int, batchSize: Int, training: Bool = false, workers: Int = 2, prefetch: Int = 2,
    load: @escaping BatchPipeline.Load
  ) -> AsyncThrowingStream<ImageBatch, any Error> {
    BatchPipeline.stream(
      labels: (0..<samples).map { Int32($0) },
      pass: .init(epoch: 0, batchSize: batchSize, imageSize: 1, seed: 0, isTraining: training),
      transform: .squash(imageSize: 1),
      options: LoadingOptions(workers: workers, prefetchedBatches: prefetch), load: load)
  }

  /// Waits until a count stands still, or one second.
  private func settled(_ counter: Counter) async throws -> Int {
    var last = -1
    var still = 0
    while still < 10 {
      try await Task.sleep(for: .milliseconds(10))
      still = counter.count == last ? still + 1 : 0
      last = counter.count
    }
    return last
  }

  @Test("order and augmentation do not depend on the number of workers", arguments: [1, 2, 5, 16])
  func determinism(_ workers: Int) async throws {
    let images = try (0..<23).map { index in
      try RGBImage(
        width: 12, height: 9,
        pixels: (0..<12 * 9 * 3).map { UInt8(truncatingIfNeeded: $0 * (index + 3)) })
    }
    func pass(_ workers: Int, epoch: Int, seed: UInt64) async throws -> [ImageBatch] {
      let source = try InMemoryImages(
        images, labels: (0..<23).map { $0 % 3 }, classNames: ["a", "b", "c"],
        transform: .ila(imageSize: 8), options: LoadingOptions(workers: workers))
      return try await collect(
        source.batches(epoch: epoch, batchSize: 4, imageSize: 8, seed: seed, training: true))
    }
    let one = try await pass(1, epoch: 3, seed: 11)
    let many = try await pass(workers, epoch: 3, seed: 11)
    #expect(one.map(\.pixels) == many.map(\.pixels))
    #expect(one.map(\.labels) == many.map(\.labels))
    #expect(one.count == 5, "the incomplete batch is left out")
    let nextEpoch = try await pass(workers, epoch: 4, seed: 11)
    let nextSeed = try await pass(workers, epoch: 3, seed: 12)
    #expect(nextEpoch.map(\.pixels) != one.map(\.pixels))
    #expect(nextSeed.map(\.pixels) != one.map(\.pixels))
  }

  @Test("a slow first picture does not change the order")
  func slowSample() async throws {
    let batches = try await collect(
      stream(samples: 20, batchSize: 3, workers: 4) { sample, _ in
        if sample % 5 == 0 { Thread.sleep(forTimeInterval: 0.01) }
        return [UInt8(sample), 0, 0]
      })
    #expect(batches.flatMap(\.labels) == (0..<20).map { Int32($0) })
    #expect(batches.flatMap(\.pixels) == (0..<20).flatMap { [UInt8($0), 0, 0] })
  }

  @Test("nothing is made further ahead than the prefetch allows", arguments: [1, 3], [1, 2, 4])
  func backPressure(_ workers: Int, _ prefetch: Int) async throws {
    let made = Counter()
    var iterator = stream(samples: 1000, batchSize: 5, workers: workers, prefetch: prefetch) { _, _ in
      made.add()
      return [0, 0, 0]
    }.makeAsyncIterator()
    #expect(made.count == 0, "nothing is made before the first batch is asked for")
    for taken in 1...4 {
      _ = try await iterator.next()
      #expect(try await settled(made) == 5 * (taken + prefetch))
    }
    withExtendedLifetime(iterator) {}
  }

  @Test("all workers work at once, whatever else holds Swift's own threads")
  func workersHaveThreads() async throws {
    let workers = 2 * processorCount + 1
    let busy = Counter()
    let stream = stream(samples: workers, batchSize: workers, workers: workers) { _, _ in
      busy.add()
      // Each waits for all others, for at most ten seconds.
      for _ in 0..<10_000 where busy.count < workers { Thread.sleep(forTimeInterval: 0.001) }
      return busy.count < workers ? nil : [0, 0, 0]
    }
    #expect(try await collect(stream).map(\.count) == [workers])
    #expect(LoadingOptions().workers == processorCount)
  }

  @Test("workers stop when the consumer is cancelled")
  func cancellation() async throws {
    let made = Counter()
    let stream = stream(samples: 100_000, batchSize: 2) { _, _ in
      made.add()
      Thread.sleep(forTimeInterval: 0.001)
      return [0, 0, 0]
    }
    let consumer = Task {
      var count = 0
      for try await _ in stream { count += 1 }
      return count
    }
    while made.count < 20 { try await Task.sleep(for: .milliseconds(1)) }
    consumer.cancel()
    _ = await consumer.result
    let after = try await settled(made)
    #expect(after < 100_000)
  }

  @Test("a consumer that is cancelled while it waits is let go")
  func cancellationWhileWaiting() async throws {
    let gate = Gate()
    let stream = stream(samples: 10, batchSize: 2, workers: 1) { _, _ in
      while !gate.isOpen { Thread.sleep(forTimeInterval: 0.001) }
      return [0, 0, 0]
    }
    let consumer = Task { try await collect(stream).count }
    try await Task.sleep(for: .milliseconds(30))
    consumer.cancel()
    let result = await consumer.result
    gate.open()
    #expect(throws: CancellationError.self) { try result.get() }
  }

  @Test("workers stop when the consumer leaves the loop")
  func abandonment() async throws {
    weak var held: Token?
    do {
      let token = Token()
      held = token
      let batches = stream(samples: 100_000, batchSize: 2) { [token] _, _ in
        withExtendedLifetime(token) { [0, 0, 0] }
      }
      for try await _ in batches { break }
    }
    // The workers hold the token until they stop.
    for _ in 0..<200 where held != nil { try await Task.sleep(for: .milliseconds(10)) }
    #expect(held == nil)
  }

  @Test("the first failure in order is thrown, whichever worker is first", arguments: [1, 4])
  func failure(_ workers: Int) async throws {
    for _ in 0..<20 {
      await #expect(throws: DataError.corruptImage("6", reason: "")) {
        try await collect(
          self.stream(samples: 40, batchSize: 4, workers: workers) { sample, _ in
            if sample == 6 { Thread.sleep(forTimeInterval: 0.002) }
            if sample >= 6 { throw DataError.corruptImage(FilePath("\(sample)"), reason: "") }
            return [0, 0, 0]
          })
      }
    }
  }

  @Test(
    "training drops the incomplete batch unless it is the only one",
    arguments: [(10, 4, [4, 4]), (8, 4, [4, 4]), (3, 4, [3]), (1, 1, [1]), (5, .max, [5])])
  func lastBatch(_ samples: Int, _ batchSize: Int, _ expected: [Int]) async throws {
    let batches = try await collect(
      stream(samples: samples, batchSize: batchSize, training: true) { _, _ in [0, 0, 0] })
    #expect(batches.map(\.count) == expected)
    #expect(Set(batches.flatMap(\.labels)).count == expected.reduce(0, +))
  }

  @Test("options out of range work as the nearest in range", arguments: [0, -3, Int.max])
  func extremeOptions(_ number: Int) async throws {
    var options = LoadingOptions()
    options.workers = number
    options.prefetchedBatches = number
    let image = try RGBImage(width: 1, height: 1, pixels: [1, 2, 3])
    let source = try InMemoryImages(
      [image, image, image], labels: [0, 1, 0], classNames: ["a", "b"],
      transform: .squash(imageSize: 1), options: options)
    let batches = try await collect(
      source.batches(epoch: 0, batchSize: 2, imageSize: 1, seed: 0, training: false))
    #expect(batches.map(\.labels) == [[0, 1], [0]])
  }
}

private final class Token: Sendable {}

private final class Gate: Sendable {
  private let value = Atomic(false)
  var isOpen: Bool { value.load(ordering: .acquiring) }
  func open() { value.store(true, ordering: .releasing) }
}
