import GraftOps
import Testing

@Suite(.serialized) struct GradientMaskTests {
  private static func arena() throws -> ParameterArena {
    let sizes = [3, 4096 + 17, 40]
    let arena = try ParameterArena(
      sizes.map { ("\($0)", [$0], [Float](repeating: 0, count: $0)) }, on: TestDevice.context.get())
    for parameter in arena.parameters {
      try parameter.gradient.assign((0..<parameter.count).map { Float($0 + 1) })
    }
    return arena
  }

  private static func masked(_ probability: Float, first count: Int = 2, seed: UInt64) throws -> [[Float]] {
    let arena = try arena()
    try GradientMask.apply(to: arena, first: count, probability: probability, seed: seed)
    return try arena.parameters.map { try $0.gradient.floats() }
  }

  @Test(arguments: [Float(0.2), 0.5, 0.9])
  func dropsAShareAndKeepsTheBitsOfTheRest(_ probability: Float) throws {
    let gradients = try Self.masked(probability, seed: 1)
    for (parameter, values) in gradients.enumerated() {
      for (index, value) in values.enumerated() { #expect(value == 0 || value == Float(index + 1)) }
      if parameter == 2 { #expect(!values.contains(0), "beyond the first two") }
    }
    let dropped = Float(gradients[1].count { $0 == 0 }) / Float(gradients[1].count)
    // Four standard deviations of 4113 draws.
    #expect(abs(dropped - probability) < 4 * (probability * (1 - probability) / 4113).squareRoot())
  }

  @Test func followsFromTheSeed() throws {
    let first = try Self.masked(0.5, seed: 1 << 40)
    #expect(try Self.masked(0.5, seed: 1 << 40) == first)
    #expect(try Self.masked(0.5, seed: 2 << 40) != first)
    #expect(try Self.masked(0.5, seed: 1) != first)
    // An element's fate does not depend on how many there are.
    #expect(try Self.masked(0.5, first: 3, seed: 1 << 40)[1] == first[1])
    #expect(try TestDevice.context.get().damagedBuffers() == 0)
  }

  @Test func nothingToDo() throws {
    #expect(try Self.masked(0, seed: 1).allSatisfy { !$0.contains(0) })
    #expect(try Self.masked(0.5, first: 0, seed: 1).allSatisfy { !$0.contains(0) })
    #expect(throws: OperationError.dropoutProbability(1)) { try Self.masked(1, seed: 1) }
  }
}
