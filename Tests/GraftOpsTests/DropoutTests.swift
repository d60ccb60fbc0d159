import Foundation
import GraftOps
import Testing

@Suite(.serialized) struct DropoutTests {
  private static let count = 100_000

  /// Which of `count` elements are kept.
  private func mask(_ tape: Tape, _ probability: Float, count: Int = count) throws -> [Bool] {
    let ones = try Tensor([Float](repeating: 1, count: count), shape: [count], on: TestDevice.context.get())
    return try tape.dropout(ones, probability: probability).floats().map { $0 != 0 }
  }

  private func keptTogether(_ a: [Bool], _ b: [Bool]) -> Double {
    Double(zip(a, b).count { $0 && $1 }) / Double(a.count)
  }

  @Test(arguments: [Float(0.1), 0.5, 0.9, 0.999])
  func keepsTheRightShare(_ probability: Float) throws {
    let kept = Double(try mask(Tape(.training(seed: 3)), probability).count { $0 }) / Double(Self.count)
    let expected = 1 - Double(probability)
    let deviation = (expected * (1 - expected) / Double(Self.count)).squareRoot()
    #expect(abs(kept - expected) < 4 * deviation)
  }

  @Test func masksOfCallsStepsAndNeighboursAreIndependent() throws {
    let tape = Tape(.training(seed: 3))
    let first = try mask(tape, 0.5)
    let others = [
      "the next call": try mask(tape, 0.5), "the next step": try mask(Tape(.training(seed: 4)), 0.5),
      "another high word": try mask(Tape(.training(seed: 3 + 1 << 32)), 0.5),
      "the next element": Array(first.dropFirst()) + [true],
      "the element 16 on": Array(first.dropFirst(16)) + first.prefix(16),
    ]
    // Two independent fair bits are both set a quarter of the time.
    let deviation = (0.25 * 0.75 / Double(Self.count)).squareRoot()
    for (name, other) in others { #expect(abs(keptTogether(first, other) - 0.25) < 4 * deviation, "\(name)") }
  }

  @Test func theSameSeedGivesTheSameMask() throws {
    #expect(try mask(Tape(.training(seed: 9)), 0.3) == mask(Tape(.training(seed: 9)), 0.3))
  }

  @Test func isTheIdentityAtInferenceAndForProbabilityZero() throws {
    let x = try Tensor([1, 2, 3], shape: [3], on: TestDevice.context.get())
    #expect(try Tape().dropout(x, probability: 0.5) === x)
    #expect(try Tape(.training(seed: 1)).dropout(x, probability: 0) === x)
  }

  @Test(arguments: [Float(1), -0.1, 2, .nan])
  func refusesOtherProbabilities(_ probability: Float) throws {
    let x = try Tensor([1], shape: [1], on: TestDevice.context.get())
    #expect(throws: OperationError.self) { try Tape(.training(seed: 1)).dropout(x, probability: probability) }
  }
}
