import GraftOps
import Testing

@Suite(.serialized) struct DepthwiseConvTests {
  private func tensor(_ values: [Float], _ shape: [Int]) throws -> Tensor {
    try Tensor(values, shape: shape, on: TestDevice.context.get())
  }

  private func filled(_ value: Float, _ shape: [Int]) throws -> Tensor {
    try tensor([Float](repeating: value, count: shape.reduce(1, *)), shape)
  }

  private func spread(_ count: Int) -> [Float] {
    (0..<count).map { (Float($0) * 0.618034).truncatingRemainder(dividingBy: 1) - 0.5 }
  }

  @Test func tapsOfOneSumNineNeighboursAndLeaveTheClassToken() throws {
    // RSDS as it starts: a sum, not an average.
    let x = try filled(1, [2, 1 + 14 * 14, 32])
    let y = try Tape().depthwiseConvOnTokens(x, grid: (14, 14), weight: filled(1, [32, 1, 3, 3]), front: 1)
    #expect(y.shape == [2, 1 + 12 * 12, 32])
    for (index, value) in try y.floats().enumerated() {
      #expect(value == (index / 32 % 145 == 0 ? 1 : 9))
    }
  }

  @Test func tokensAndGridsAgreeToTheLastBit() throws {
    let channels = 24
    let cls = spread(channels)
    let grid = spread(6 * 5 * channels).map { 2 * $0 }
    let weight = try tensor(spread(channels * 9), [channels, 1, 3, 3])
    let bias = try tensor(spread(channels), [channels])
    let onGrid = try Tape().depthwiseConv(
      tensor(grid, [1, 6, 5, channels]), weight: weight, bias: bias, padding: 1
    ).floats()
    let onTokens = try Tape().depthwiseConvOnTokens(
      tensor(cls + grid, [1, 31, channels]), grid: (6, 5), weight: weight, bias: bias, padding: 1, front: 1
    ).floats()
    #expect(onTokens == cls + onGrid)
  }

  @Test func aBatchMayBeSplit() throws {
    let values = spread(2 * 7 * 7 * 16)
    let weight = try tensor(spread(16 * 9), [16, 1, 3, 3])
    let whole = try Tape().depthwiseConv(tensor(values, [2, 7, 7, 16]), weight: weight).floats()
    let halves = try [values.prefix(784), values.suffix(784)].flatMap {
      try Tape().depthwiseConv(tensor(Array($0), [1, 7, 7, 16]), weight: weight).floats()
    }
    #expect(whole == halves)
  }

  @Test func nothingLeftOfTheGridIsAnError() throws {
    #expect(throws: OperationError.kernelLargerThanImage(side: 3, height: 2, width: 5, padding: 0)) {
      try Tape().depthwiseConv(filled(1, [1, 2, 5, 4]), weight: filled(1, [4, 1, 3, 3]))
    }
    #expect(throws: OperationError.kernelSide(2)) {
      try Tape().depthwiseConv(filled(1, [1, 4, 4, 4]), weight: filled(1, [4, 1, 2, 2]))
    }
  }

  @Test func weightsAloneReceiveTheSameGradientAsWithTheInput() throws {
    let (shape, weightShape) = ([2, 5, 5, 16], [16, 1, 3, 3])
    let (x, w) = (spread(800), spread(144))
    func gradient(inputIsTrainable: Bool) throws -> [Float] {
      let arena = try ParameterArena([("w", weightShape, w), ("x", shape, x)], on: TestDevice.context.get())
      let tape = Tape(.training(seed: 1))
      let output = try tape.depthwiseConv(
        inputIsTrainable ? arena.parameters[1].value : tensor(x, shape), weight: arena.parameters[0].value)
      try tape.backward(from: output, seed: tensor(spread(output.count), output.shape))
      return try arena.parameters[0].gradient.floats()
    }
    #expect(try gradient(inputIsTrainable: true) == gradient(inputIsTrainable: false))
  }
}
