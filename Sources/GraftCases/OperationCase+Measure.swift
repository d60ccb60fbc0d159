import GraftOps
package import GraftRuntime
import GraftSystem

/// Times of repeated runs.
package struct Timing: Sendable {
  /// Median seconds of one run.
  package let median: Double
  /// Fastest and slowest run.
  package let range: ClosedRange<Double>
  /// Number of samples.
  package let samples: Int

  /// Times `body` from an idle queue to an idle queue; short bodies run several times a sample, so that the
  /// clock and the wait count for little.
  ///
  /// Caches are as the run before left them ("warm").
  package init(on context: Context, seconds: Double = 0.6, _ body: () throws -> Void) throws {
    let clock = ContinuousClock()
    func time(_ repeats: Int) throws -> Double {
      try context.finish()
      let start = clock.now
      for _ in 0..<repeats { try body() }
      try context.finish()
      return (clock.now - start) / .seconds(1) / Double(repeats)
    }
    _ = try time(1)  // compiles kernels
    let once = try min(time(1), time(1))
    let repeats = max(1, Int(0.004 / max(once, 1e-6)))
    let count = min(50, max(5, Int(seconds / (once * Double(repeats)))))
    let times = try (0..<count).map { _ in try time(repeats) }.sorted()
    median = times[times.count / 2]
    range = (times.first ?? 0)...(times.last ?? 0)
    samples = count
  }
}

extension OperationCase {
  /// Times of the forward pass and, where something is differentiable, of forward and backward together.
  package func measure(on context: Context) throws -> (forward: Timing, training: Timing?) {
    var generator = CaseGenerator(seed: 1)
    let values = inputs.map { input in
      (0..<input.shape.reduce(1, *)).map { _ in Float.random(in: input.range, using: &generator) }
    }
    let prepared = try prepare(values, on: context)
    let operation = try forward(on: context)
    let runForward = { try operation($0, prepared.tensors) }
    let forward = try Timing(on: context) { _ = try runForward(Tape()) }
    guard inputs.contains(where: \.isDifferentiable) else { return (forward, nil) }
    let shape = try runForward(Tape()).shape
    let seed = try Tensor([Float](repeating: 1, count: shape.reduce(1, *)), shape: shape, on: context)
    let training = try Timing(on: context) {
      let tape = Tape(.training(seed: 1))
      try tape.backward(from: runForward(tape), seed: seed)
    }
    return (forward, training)
  }
}

extension OperationCase {
  /// What one training pass launches, or one forward pass where nothing is differentiable; nothing is computed.
  package func launches(on context: Context) throws -> [Launch] {
    let context = context.rehearsal()
    let values = inputs.map { [Float](repeating: $0.range.upperBound, count: $0.shape.reduce(1, *)) }
    let prepared = try prepare(values, on: context)
    let operation = try forward(on: context)
    let tape = inputs.contains(where: \.isDifferentiable) ? Tape(.training(seed: 1)) : Tape()
    let output = try operation(tape, prepared.tensors)
    if inputs.contains(where: \.isDifferentiable) {
      let seed = try Tensor(empty: output.shape, on: context)
      try tape.backward(from: output, seed: seed)
    }
    return context.log?.launches ?? []
  }
}
