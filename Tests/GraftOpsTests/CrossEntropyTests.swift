import Foundation
import GraftOps
import Testing

@Suite(.serialized) struct CrossEntropyTests {
  private func loss(_ logits: [Float], _ labels: [Int32], smoothing: Float = 0) throws -> Float {
    let context = try TestDevice.context.get()
    let x = try Tensor(logits, shape: [labels.count, logits.count / labels.count], on: context)
    return try Tape().crossEntropy(x, labels: Tensor(indices: labels, on: context), smoothing: smoothing)
      .floats()[0]
  }

  @Test func equalLogitsCostTheLogarithmOfTheClasses() throws {
    let classes = 10
    let logits = [Float](repeating: 3, count: 2 * classes)
    #expect(abs(try loss(logits, [4, 9]) - Float(log(10.0))) < 1e-6)
    #expect(abs(try loss(logits, [4, 9], smoothing: 0.3) - Float(log(10.0))) < 1e-6)
  }

  @Test func hugeLogitsOverflowNowhere() throws {
    #expect(try loss([1e30, -1e30, 0], [0]) == 0)
    #expect(abs(try loss([3e4, 3e4], [1]) - Float(log(2.0))) < 1e-6)
  }

  @Test(arguments: [Int32(-1), 3, .max]) func aLabelOutOfRangeIsNaN(_ label: Int32) throws {
    #expect(try loss([1, 2, 3], [label]).isNaN)
  }

  @Test func theUpstreamGradientScalesTheGradient() throws {
    let context = try TestDevice.context.get()
    func gradient(_ upstream: Float) throws -> [Float] {
      let arena = try ParameterArena([("x", [2, 3], [1, 2, 3, -1, 0, 1])], on: context)
      let tape = Tape(.training(seed: 1))
      let loss = try tape.crossEntropy(
        arena.parameters[0].value, labels: Tensor(indices: [0, 2], on: context), smoothing: 0.1)
      try tape.backward(from: loss, seed: Tensor([upstream], shape: [1], on: context))
      return try arena.parameters[0].gradient.floats()
    }
    #expect(try gradient(4) == gradient(1).map { 4 * $0 })
    // Each row of softmax minus target sums to nothing.
    let rows = try gradient(1)
    #expect(abs(rows[0] + rows[1] + rows[2]) < 1e-7 && abs(rows[3] + rows[4] + rows[5]) < 1e-7)
  }
}
