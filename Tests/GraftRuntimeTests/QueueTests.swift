import Testing

@testable import GraftRuntime

/// One queue, used by many.
@Suite struct QueueTests {
  /// Whoever waits for a read gets it, though others flush the queue meanwhile: of Rusticl's blocking reads (Mesa 22.3)
  /// one in some thousand left with nothing.
  @Test func everyTaskReadsItsOwn() async throws {
    let context = try Context(Device.select())
    try await withThrowingTaskGroup(of: Void.self) { group in
      for task in 1...4 {
        group.addTask {
          let buffer = try context.buffer(byteCount: 1 << 20)
          for round in 1...500 {
            let value = Float(1000 * task + round)
            try context.fill(buffer, with: value.bitPattern, byteCount: 1 << 20)
            try context.run(
              .init("elementwise", "add"), over: [1], group: [1], buffer, buffer, buffer, 10000, 10000)
            try [Float(5)].withUnsafeBytes { try context.write($0, to: buffer) }
            var read = [Float](repeating: 0, count: 1 << 18)
            try read.withUnsafeMutableBytes { try context.read(buffer, into: $0) }
            guard read[0] == 5, read[9999] == 2 * value, read[10000] == value else {
              Issue.record("task \(task), round \(round): \(read[0]), \(read[9999]), \(read[10000])")
              return
            }
          }
        }
      }
      try await group.waitForAll()
    }
  }
}
