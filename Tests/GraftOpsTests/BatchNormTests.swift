import GraftOps
import Testing

@Suite(.serialized) struct BatchNormTests {
  private static let rows = 37
  private static let channels = 8

  private static let values = (0..<rows * channels).map { index in
    // Weyl's sequence, with a mean that is large beside the spread.
    100 + Float(index % channels) + (Float(index) * 0.618034).truncatingRemainder(dividingBy: 1)
  }

  private func tensor(_ values: [Float], _ shape: [Int]) throws -> Tensor {
    try Tensor(values, shape: shape, on: TestDevice.context.get())
  }

  private func normalize(
    _ values: [Float], rows: Int, _ tape: Tape, _ running: BatchNormStatistics
  ) throws -> [Float] {
    let ones = try tensor([Float](repeating: 1, count: Self.channels), [Self.channels])
    let zeros = try tensor([Float](repeating: 0, count: Self.channels), [Self.channels])
    return try tape.batchNorm(
      tensor(values, [rows, Self.channels]), weight: ones, bias: zeros, running: running
    ).floats()
  }

  private func statistics() throws -> BatchNormStatistics {
    try BatchNormStatistics(channels: Self.channels, on: TestDevice.context.get())
  }

  /// Mean and biased variance of a channel.
  private func moments(_ values: [Float], _ channel: Int) -> (mean: Double, variance: Double) {
    let column = stride(from: channel, to: values.count, by: Self.channels).map { Double(values[$0]) }
    let mean = column.reduce(0, +) / Double(column.count)
    return (mean, column.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(column.count))
  }

  @Test func trainingGivesMeanZeroAndVarianceOne() throws {
    let output = try normalize(Self.values, rows: Self.rows, Tape(.training(seed: 1)), statistics())
    for channel in 0..<Self.channels {
      let (mean, variance) = moments(output, channel)
      #expect(abs(mean) < 1e-4)
      let input = moments(Self.values, channel).variance
      #expect(abs(variance - input / (input + 1e-5)) < 1e-4)
    }
  }

  @Test func runningStatisticsMoveByMomentumWithTheUnbiasedVariance() throws {
    let running = try statistics()
    for _ in 0..<2 { _ = try normalize(Self.values, rows: Self.rows, Tape(.training(seed: 1)), running) }
    let (means, variances) = (try running.mean.floats(), try running.variance.floats())
    for channel in 0..<Self.channels {
      let (mean, variance) = moments(Self.values, channel)
      let unbiased = variance * Double(Self.rows) / Double(Self.rows - 1)
      #expect(abs(Double(means[channel]) - 0.19 * mean) < 1e-4)
      #expect(abs(Double(variances[channel]) - (0.81 + 0.19 * unbiased)) < 1e-4)
    }
  }

  @Test func inferenceUsesRunningStatisticsRowByRowAndRecordsNothing() throws {
    let running = try statistics()
    let mean = (0..<Self.channels).map { 100 + Float($0) }
    let variance = (0..<Self.channels).map { 0.5 + Float($0) }
    try running.load(mean: mean, variance: variance)
    let whole = try normalize(Self.values, rows: Self.rows, Tape(), running)
    for (index, value) in whole.enumerated() {
      let channel = index % Self.channels
      let expected = (Self.values[index] - mean[channel]) / (variance[channel] + 1e-5).squareRoot()
      #expect(abs(value - expected) < 1e-5)
    }
    // A batch may be split anywhere, down to single rows.
    let split = try (0..<Self.rows).flatMap { row in
      try normalize(
        Array(Self.values[row * Self.channels..<(row + 1) * Self.channels]), rows: 1, Tape(), running)
    }
    #expect(split == whole)
    #expect(try running.mean.floats() == mean)
    #expect(try running.variance.floats() == variance)
  }

  @Test func recordsNothingAtInference() throws {
    let context = try TestDevice.context.get()
    let arena = try ParameterArena([("w", [2], [1, 1]), ("b", [2], [0, 0])], on: context)
    let output = try Tape().batchNorm(
      tensor([1, 2, 3, 4], [2, 2]), weight: arena.parameters[0].value, bias: arena.parameters[1].value,
      running: BatchNormStatistics(channels: 2, on: context))
    #expect(!output.requiresGradient)
  }

  @Test func aSingleRowInTrainingIsAnError() throws {
    #expect(throws: OperationError.singleRowBatch(channels: Self.channels)) {
      try normalize(Array(Self.values.prefix(Self.channels)), rows: 1, Tape(.training(seed: 1)), statistics())
    }
  }

  @Test func weightsAloneReceiveTheSameGradientAsWithTheInput() throws {
    let context = try TestDevice.context.get()
    func gradients(inputIsTrainable: Bool) throws -> [[Float]] {
      let shape = [Self.rows, Self.channels]
      let arena = try ParameterArena(
        [
          ("w", [Self.channels], [Float](repeating: 2, count: Self.channels)),
          ("b", [Self.channels], [Float](repeating: 1, count: Self.channels)), ("x", shape, Self.values),
        ], on: context)
      let tape = Tape(.training(seed: 1))
      let x = inputIsTrainable ? arena.parameters[2].value : try tensor(Self.values, shape)
      let output = try tape.batchNorm(
        x, weight: arena.parameters[0].value, bias: arena.parameters[1].value, running: statistics())
      let upstream = (0..<output.count).map { Float($0 % 5) - 2 }
      try tape.backward(from: output, seed: tensor(upstream, shape))
      return try arena.parameters.prefix(2).map { try $0.gradient.floats() }
    }
    #expect(try gradients(inputIsTrainable: true) == gradients(inputIsTrainable: false))
  }
}
