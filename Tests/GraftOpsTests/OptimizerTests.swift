import Foundation
import GraftOps
import Testing

@Suite(.serialized) struct OptimizerTests {
  /// What tools/fixtures/optimizers.py wrote.
  private struct Golden: Decodable {
    struct Recipe: Decodable {
      let values: [[Float]]
      let norms: [Float]
    }

    let shapes: [[Int]]
    let rates: [Float]
    let start: [Float]
    let gradients: [[Float]]
    let recipes: [String: Recipe]

    static let shared = Result {
      let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      let data = try Data(contentsOf: folder.appendingPathComponent("Fixtures/optimizers.json"))
      return try JSONDecoder().decode(Golden.self, from: data)
    }

    /// Cuts a flat list into the parameters.
    func parts(_ flat: [Float]) -> [[Float]] {
      var rest = flat[...]
      return shapes.map { shape in
        let count = shape.reduce(1, *)
        defer { rest = rest.dropFirst(count) }
        return Array(rest.prefix(count))
      }
    }

    func arena() throws -> ParameterArena {
      let declared = zip(shapes, parts(start)).enumerated().map { ("\($0)", $1.0, $1.1) }
      return try ParameterArena(declared, on: TestDevice.context.get())
    }

    func setGradients(_ flat: [Float], of arena: ParameterArena) throws {
      for (parameter, values) in zip(arena.parameters, parts(flat)) { try parameter.gradient.assign(values) }
    }
  }

  private func values(_ arena: ParameterArena) throws -> [Float] {
    try arena.parameters.flatMap { try $0.value.floats() }
  }

  private func expectClose(_ actual: [Float], _ expected: [Float], _ what: String) {
    #expect(actual.count == expected.count)
    let error = zip(actual, expected).map { abs($0 - $1) / max(1, abs($1)) }.max() ?? 0
    #expect(error < 2e-6, "\(what)")
  }

  /// Every recipe of the fixture, as Graft spells it.
  private static let recipes:
    [(name: String, limit: Float?, make: @Sendable (ParameterArena) throws -> any Optimizer)] = [
      ("adamw", nil, { try AdamW($0) }),
      (
        "adamw_clipped", 1, { try AdamW($0, .init(beta1: 0.8, beta2: 0.95, epsilon: 1e-3, weightDecay: 0.1)) }
      ),
      ("sgd", nil, { try SGD($0) }),
      ("sgd_momentum", 2, { try SGD($0, .init(momentum: 0.9, weightDecay: 0.05)) }),
      ("sgd_nesterov", nil, { try SGD($0, .init(momentum: 0.9, isNesterov: true, weightDecay: 0.01)) }),
    ]

  @Test(arguments: recipes.indices) func stepsAsPyTorchDoes(_ index: Int) throws {
    let recipe = Self.recipes[index]
    let golden = try Golden.shared.get()
    let expected = try #require(golden.recipes[recipe.name])
    let arena = try golden.arena()
    let optimizer = try recipe.make(arena)
    for step in golden.rates.indices {
      try golden.setGradients(golden.gradients[step], of: arena)
      if let limit = recipe.limit {
        let norm = try GradientClipping.clip(arena, to: limit).floats()
        expectClose(norm, [expected.norms[step]], "norm of step \(step)")
      }
      try optimizer.step(learningRate: golden.rates[step])
      expectClose(try values(arena), expected.values[step], "\(recipe.name), step \(step)")
    }
    #expect(optimizer.stepCount == golden.rates.count)
    #expect(try TestDevice.context.get().damagedBuffers() == 0)
  }

  @Test(arguments: recipes.indices) func resumesToTheSameBits(_ index: Int) throws {
    let recipe = Self.recipes[index]
    let golden = try Golden.shared.get()
    func run(_ steps: Range<Int>, _ arena: ParameterArena, _ optimizer: any Optimizer) throws {
      for step in steps {
        try golden.setGradients(golden.gradients[step], of: arena)
        try optimizer.step(learningRate: golden.rates[step])
      }
    }
    let whole = try golden.arena()
    try run(0..<5, whole, recipe.make(whole))

    let first = try golden.arena()
    let before = try recipe.make(first)
    try run(0..<2, first, before)
    let second = try golden.arena()
    for (from, to) in zip(first.parameters, second.parameters) { try to.value.assign(from.value.floats()) }
    let after = try recipe.make(second)
    #expect(after.state.map(\.name) == before.state.map(\.name))
    for (from, to) in zip(before.state, after.state) { try to.tensor.assign(from.tensor.floats()) }
    after.stepCount = before.stepCount
    try run(2..<5, second, after)
    #expect(try values(second) == values(whole))
  }

  @Test(arguments: recipes.indices) func gapsBetweenParametersStayZero(_ index: Int) throws {
    let golden = try Golden.shared.get()
    let arena = try golden.arena()
    let optimizer = try Self.recipes[index].make(arena)
    for step in golden.rates.indices {
      try golden.setGradients(golden.gradients[step], of: arena)
      try optimizer.step(learningRate: golden.rates[step])
    }
    for tensor in [arena.values] + optimizer.state.map(\.tensor) {
      let all = try tensor.floats()
      #expect(all.count { $0 != 0 } <= arena.count)
      #expect(all.allSatisfy { $0.isFinite })
    }
  }

  @Test(arguments: recipes.indices) func scaledGradientsAreTheMeanOfBatches(_ index: Int) throws {
    let golden = try Golden.shared.get()
    let (plain, scaled) = (try golden.arena(), try golden.arena())
    try golden.setGradients(golden.gradients[0], of: plain)
    try Self.recipes[index].make(plain).step(learningRate: 0.1)
    try golden.setGradients(golden.gradients[0].map { 4 * $0 }, of: scaled)
    try Self.recipes[index].make(scaled).step(learningRate: 0.1, gradientScale: 0.25)
    #expect(try values(plain) == values(scaled))
  }

  @Test func clippingManyBlocksAgreesWithFloat64() throws {
    let count = 3 * 4096 + 17
    let gradient = (0..<count).map { Float($0 % 101) / 50 - 1 }
    let arena = try ParameterArena(
      [("a", [count], [Float](repeating: 0, count: count))], on: TestDevice.context.get())
    try arena.parameters[0].gradient.assign(gradient)
    let norm = try GradientClipping.clip(arena, to: 3)
    let expected = gradient.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
    expectClose(try norm.floats(), [Float(expected)], "norm")
    let clipped = gradient.map { Float(Double($0) * 3 / (expected + 1e-6)) }
    expectClose(try arena.parameters[0].gradient.floats(), clipped, "clipped gradients")
  }

  @Test(arguments: [1, 15, 16, 17, 4097]) func partialSumsOfSquaresMissNothing(_ count: Int) throws {
    let context = try TestDevice.context.get()
    let twos = try Tensor([Float](repeating: 2, count: count), shape: [count], on: context)
    let partials = try Reduction.squarePartials(of: twos)
    #expect(try partials.floats().reduce(0, +) == Float(4 * count))
  }

  @Test(arguments: [Float.nan, .infinity]) func clippingLetsNaNThroughAlone(_ bad: Float) throws {
    let arena = try ParameterArena([("a", [2], [0, 0])], on: TestDevice.context.get())
    try arena.parameters[0].gradient.assign([1, bad])
    #expect(try !GradientClipping.clip(arena, to: 1).floats()[0].isFinite)
    let gradient = try arena.parameters[0].gradient.floats()
    #expect(gradient[0] == 0 && gradient[1].isNaN)
  }
}
