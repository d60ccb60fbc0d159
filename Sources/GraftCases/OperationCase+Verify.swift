import GraftOps
package import GraftRuntime
import GraftSystem

extension OperationCase {
  /// Compares the device with the oracle: outputs in both modes, every gradient, the same bits on repetition.
  ///
  /// - Returns: what disagrees, in words; empty when all is well.
  package func verify(on context: Context, seed: UInt64 = 1) throws -> [String] {
    var generator = CaseGenerator(seed: seed)
    let values = inputs.map { input in
      (0..<input.shape.reduce(1, *)).map { _ in draw(input.range, &generator) }
    }
    let expected = reference(values.map { $0.map(Double.init) })
    var failures: [String] = []

    let first = try outputs(of: values, on: context)
    if try outputs(of: values, on: context) != first { failures.append("different bits on repetition") }
    failures += compare(first, expected.values, expected.magnitudes, "output")

    guard inputs.contains(where: \.isDifferentiable) else { return failures }
    let upstream = expected.values.map { _ in draw(-1...1, &generator) }
    let gradients = try gradients(of: values, upstream: upstream, on: context)
    for (index, gradient) in gradients {
      failures += checkGradient(gradient, of: index, at: values, upstream: upstream, &generator)
    }
    return failures
  }

  private func draw(_ range: ClosedRange<Float>, _ generator: inout CaseGenerator) -> Float {
    let value = Float.random(in: range, using: &generator)
    return switch numbers {
    case .floats: value
    case .bfloats: Float(bitPattern: value.bitPattern & 0xffff_0000)
    case .integers: value.rounded()
    }
  }

  private func outputs(of values: [[Float]], on context: Context) throws -> [Float] {
    let tensors = try zip(values, inputs).map { try Tensor($0, shape: $1.shape, on: context) }
    return try forward(on: context)(Tape(), tensors).floats()
  }

  /// Gradients of `sum(upstream * output)` with respect to the differentiable inputs, by input.
  private func gradients(
    of values: [[Float]], upstream: [Float], on context: Context
  ) throws -> [(input: Int, values: [Float])] {
    let prepared = try prepare(values, on: context)
    let tape = Tape(.training(seed: 7))
    let output = try forward(on: context)(tape, prepared.tensors)
    try tape.backward(from: output, seed: Tensor(upstream, shape: output.shape, on: context))
    return try prepared.parameters.map { ($0.input, try $0.parameter.gradient.floats()) }
  }

  struct Prepared {
    let tensors: [Tensor]
    let parameters: [(input: Int, parameter: Parameter)]
    let arena: ParameterArena
  }

  /// Inputs on the device; the differentiable ones as parameters.
  func prepare(_ values: [[Float]], on context: Context) throws -> Prepared {
    let differentiable = inputs.indices.filter { inputs[$0].isDifferentiable }
    let arena = try ParameterArena(
      differentiable.map { ("\($0)", inputs[$0].shape, values[$0]) }, on: context)
    var tensors: [Tensor] = []
    for index in inputs.indices {
      if let position = differentiable.firstIndex(of: index) {
        tensors.append(arena.parameters[position].value)
      } else {
        tensors.append(try Tensor(values[index], shape: inputs[index].shape, on: context))
      }
    }
    return Prepared(
      tensors: tensors, parameters: Array(zip(differentiable, arena.parameters)), arena: arena)
  }

  /// A dot product of `terms` rounded products is off by at most about sqrt(terms) * epsilon times the sum of
  /// magnitudes; 4 leaves room for the few operations around it.
  private var relativeTolerance: Double { 4 * Double(terms).squareRoot() * epsilon }

  private func compare(
    _ actual: [Float], _ expected: [Double], _ magnitudes: [Double], _ what: String
  ) -> [String] {
    guard actual.count == expected.count else {
      return ["\(what): \(actual.count) values instead of \(expected.count)"]
    }
    for index in actual.indices {
      let error = abs(Double(actual[index]) - expected[index])
      let allowed = relativeTolerance * magnitudes[index] + 1e-30
      if !(error <= allowed) {
        return ["\(what)[\(index)]: \(actual[index]) instead of \(expected[index]), allowed \(allowed)"]
      }
    }
    return []
  }

  /// Compares with central differences of the float64 oracle, extrapolated to fourth order, at sampled elements and
  /// along one random direction through all of them.
  private func checkGradient(
    _ gradient: [Float], of input: Int, at values: [[Float]], upstream: [Float],
    _ generator: inout CaseGenerator
  ) -> [String] {
    let point = values.map { $0.map(Double.init) }
    func objective(_ moved: [Double]) -> Double {
      var inputs = point
      inputs[input] = moved
      return zip(reference(inputs).values, upstream).reduce(0) { $0 + $1.0 * Double($1.1) }
    }
    func derivative(along direction: [Double]) -> Double {
      func difference(_ step: Double) -> Double {
        let up = zip(point[input], direction).map { $0 + step * $1 }
        let down = zip(point[input], direction).map { $0 - step * $1 }
        return (objective(up) - objective(down)) / (2 * step)
      }
      // Small beside the inputs: what they are put through bends on their own scale.
      let range = inputs[input].range
      let step = 1e-3 * min(1, Double(max(abs(range.lowerBound), abs(range.upperBound))))
      return (4 * difference(step / 2) - difference(step)) / 3
    }

    let norm = gradient.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
    let typical = norm / Double(gradient.count).squareRoot()
    // The upstream sum adds another factor to the length of the sums.
    let tolerance = 8 * relativeTolerance
    var failures: [String] = []
    let samples = Set((0..<12).map { _ in Int.random(in: 0..<gradient.count, using: &generator) } + [0])
    for index in samples.sorted() {
      var direction = [Double](repeating: 0, count: gradient.count)
      direction[index] = 1
      let expected = derivative(along: direction)
      let error = abs(Double(gradient[index]) - expected)
      if !(error <= tolerance * max(abs(expected), typical) + 1e-9) {
        failures.append("gradient of input \(input)[\(index)]: \(gradient[index]) instead of \(expected)")
      }
    }
    let direction = gradient.map { _ in Double(Float.random(in: -1...1, using: &generator)) }
    let expected = derivative(along: direction)
    let actual = zip(gradient, direction).reduce(0) { $0 + Double($1.0) * $1.1 }
    let scale = norm * direction.reduce(0) { $0 + $1 * $1 }.squareRoot()
    if !(abs(actual - expected) <= tolerance * scale + 1e-9) {
      failures.append("directional derivative of input \(input): \(actual) instead of \(expected)")
    }
    return failures
  }
}

/// SplitMix64: the same numbers on every platform.
package struct CaseGenerator: RandomNumberGenerator {
  private var state: UInt64
  package init(seed: UInt64) { state = seed }
  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
