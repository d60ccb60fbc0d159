import Foundation
import GraftRuntime
import Testing

@testable import Graft

/// Many tasks ask one backbone with several adapters at the same time.
///
/// `GRAFT_LOAD_SECONDS=600 swift test --filter LoadTests` for the long run, which also watches the process's memory.
@Suite(.serialized) struct LoadTests {
  private static let seconds = ProcessInfo.processInfo.environment["GRAFT_LOAD_SECONDS"].flatMap(Double.init)
  private static let tasks = 8
  /// Every model and batch is asked for by every task.
  private static let leastRequests = 12
  private static let batches = (0..<4).map { Fixtures.noise($0 + 1, seed: UInt64($0) + 1) }

  /// Owns backbone and models, as an app's server would.
  private actor Server {
    private let models: [GraftedModel]

    init() throws {
      // Of its own: other suites hold memory of the shared one.
      let context = try Context(Fixtures.context.get().device)
      let vit = try Backbone(path: Fixtures.smallPath, options: .init(heads: 4), on: context)
      models = try ["linear", "ila", "alore"].map { try GraftedModel.small($0, on: vit) }
      for model in models { try model.perturb() }
    }

    var modelCount: Int { models.count }
    var deviceBytes: Int { models[0].backbone.context.memory.bytesInUse }

    func logits(_ batch: Int, _ model: Int) throws -> [[Float]] {
      try models[model].logits(LoadTests.batches[batch])
    }
  }

  @Test func eightTasksGetTheSameAnswersAsOne() async throws {
    let server = try Server()
    let models = await server.modelCount
    var alone: [[[[Float]]]] = []
    for model in 0..<models {
      var answers: [[[Float]]] = []
      for batch in Self.batches.indices { answers.append(try await server.logits(batch, model)) }
      alone.append(answers)
    }
    let expected = alone

    let clock = ContinuousClock()
    let start = clock.now
    let end = start + .seconds(Self.seconds ?? 2)
    let warm = start + .seconds((Self.seconds ?? 2) / 10)
    let before = await server.deviceBytes
    try await withThrowingTaskGroup(of: Int.self) { group in
      for task in 0..<Self.tasks {
        group.addTask {
          var count = 0
          // Other suites may keep all threads for longer than that.
          while clock.now < end || count < Self.leastRequests {
            let (model, batch) = ((task + count) % models, (task + count / 3) % Self.batches.count)
            let answer = try await server.logits(batch, model)
            if answer != expected[model][batch] { Issue.record("task \(task), request \(count)") }
            count += 1
            // Where other suites leave one thread, an idle actor would serve the same task on and on.
            await Task.yield()
          }
          return count
        }
      }
      try await Task.sleep(until: warm, clock: clock)
      let early = ProcessMemory.residentBytes
      var requests = 0
      for try await count in group { requests += count }
      let grown = ProcessMemory.residentBytes - early
      print("\(requests) requests; resident memory \(early >> 10) KiB, then \(grown >> 10) KiB more")
      // Other suites work in the same process, unless this one was asked for alone.
      if Self.seconds != nil { #expect(grown < 8 << 20) }
    }
    #expect(await server.deviceBytes == before)
  }
}
