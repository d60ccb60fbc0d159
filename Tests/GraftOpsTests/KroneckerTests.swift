import GraftOps
import Testing

@Suite(.serialized) struct KroneckerTests {
  /// An adapter's weights, as numbers.
  private struct Adapter {
    let experts, rank, part: Int
    let a, u, v, c: [Float]
    let scale: Float = 0.5

    init(experts: Int, rank: Int, part: Int) {
      (self.experts, self.rank, self.part) = (experts, rank, part)
      func spread(_ count: Int, _ step: Float) -> [Float] {
        (0..<count).map { 2 * (Float($0) * step).truncatingRemainder(dividingBy: 1) - 1 }
      }
      a = spread(experts * experts * experts, 0.618034)
      u = spread(experts * part * rank, 0.414214)
      v = spread(experts * part * rank, 0.732051)
      c = spread(experts * part, 0.236068)
    }

    var width: Int { experts * part }
    var shapes: [[Int]] {
      [[experts, experts, experts], [experts, part, rank], [experts, rank, part], [width]]
    }

    func tensors() throws -> [Tensor] {
      try zip([a, u, v, c], shapes).map { try Tensor($0, shape: $1, on: TestDevice.context.get()) }
    }

    func apply(_ x: [Float]) throws -> [Float] {
      let w = try tensors()
      let input = try Tensor(x, shape: [x.count / width, width], on: TestDevice.context.get())
      return try Tape().kroneckerAdapter(input, a: w[0], u: w[1], v: w[2], bias: w[3], scale: scale).floats()
    }
  }

  private static let adapters = [(1, 1, 3), (2, 3, 8), (4, 4, 16), (4, 2, 19), (3, 7, 5)].map {
    Adapter(experts: $0, rank: $1, part: $2)
  }

  private func spread(_ count: Int) -> [Float] {
    (0..<count).map { (Float($0) * 0.324718).truncatingRemainder(dividingBy: 1) - 0.5 }
  }

  /// `W x + b` of each token, in float64.
  private func linear(_ x: [Float], _ weight: [Float], _ bias: [Float], width: Int) -> [Double] {
    stride(from: 0, to: x.count, by: width).flatMap { start in
      bias.indices.map { row in
        (0..<width).reduce(Double(bias[row])) {
          $0 + Double(weight[row * width + $1]) * Double(x[start + $1])
        }
      }
    }
  }

  private func expectClose(_ actual: [Double], _ expected: [Double], within tolerance: Double) {
    let most = expected.reduce(1e-30) { max($0, abs($1)) }
    let error = zip(actual, expected).reduce(0) { max($0, abs($1.0 - $1.1)) }
    #expect(actual.count == expected.count)
    #expect(error < tolerance * most, "off by \(error) where the largest is \(most)")
  }

  @Test(arguments: adapters.indices) func agreesWithItsMatrix(_ index: Int) throws {
    let adapter = Self.adapters[index]
    let (n, r, m, width) = (adapter.experts, adapter.rank, adapter.part, adapter.width)
    let w = try adapter.tensors()
    let dense = try Kronecker.dense(a: w[0], u: w[1], v: w[2]).floats()
    for row in 0..<width {
      for column in 0..<width {
        var expected = 0.0
        for i in 0..<n {
          for k in 0..<r {
            expected +=
              Double(adapter.a[(i * n + row / m) * n + column / m])
              * Double(adapter.u[(i * m + row % m) * r + k])
              * Double(adapter.v[(i * r + k) * m + column % m])
          }
        }
        #expect(abs(Double(dense[row * width + column]) - expected) < 1e-5)
      }
    }
    let x = spread(3 * width)
    let moved = linear(x, dense, adapter.c, width: width)
    let expected = zip(x, moved).map { Double($0) + Double(adapter.scale) * $1 }
    expectClose(try adapter.apply(x).map(Double.init), expected, within: 1e-5)
  }

  @Test(arguments: adapters.indices) func mergedLayerEqualsAdapterThenLayer(_ index: Int) throws {
    let adapter = Self.adapters[index]
    let outputs = 7
    let weight = spread(outputs * adapter.width).map { 2 * $0 }
    let bias = spread(outputs)
    var merged = weight.map(Double.init)
    Kronecker.fold(
      a: adapter.a.map(Double.init), u: adapter.u.map(Double.init), v: adapter.v.map(Double.init),
      scale: Double(adapter.scale), outputs: outputs, experts: adapter.experts, rank: adapter.rank,
      into: &merged)
    let x = spread(5 * adapter.width)
    // The adapter's own bias goes through the plain weight.
    let shift = linear(adapter.c, weight, [Float](repeating: 0, count: outputs), width: adapter.width)
    let mergedBias = bias.indices.map { bias[$0] + Float(Double(adapter.scale) * shift[$0]) }
    let unmerged = linear(try adapter.apply(x), weight, bias, width: adapter.width)
    expectClose(linear(x, merged.map { Float($0) }, mergedBias, width: adapter.width), unmerged, within: 1e-5)
  }

  @Test(arguments: adapters.indices) func aBatchMayBeSplitAnywhere(_ index: Int) throws {
    let adapter = Self.adapters[index]
    let x = spread(23 * adapter.width)
    let whole = try adapter.apply(x)
    let cut = 10 * adapter.width
    #expect(try adapter.apply(Array(x[..<cut])) + adapter.apply(Array(x[cut...])) == whole)
  }

  @Test func weightsAloneReceiveTheSameGradientAsWithTheInput() throws {
    let adapter = Self.adapters[2]
    let x = spread(41 * adapter.width)
    func gradients(inputIsTrainable: Bool) throws -> [[Float]] {
      let context = try TestDevice.context.get()
      let shape = [41, adapter.width]
      let arena = try ParameterArena(
        zip(zip(["a", "u", "v", "c"], adapter.shapes), [adapter.a, adapter.u, adapter.v, adapter.c]).map {
          ($0.0, $0.1, $1)
        } + [("x", shape, x)], on: context)
      let w = arena.parameters.map(\.value)
      let tape = Tape(.training(seed: 5))
      let output = try tape.kroneckerAdapter(
        inputIsTrainable ? w[4] : Tensor(x, shape: shape, on: context), a: w[0], u: w[1], v: w[2], bias: w[3],
        scale: 0.5, dropout: 0.2)
      try tape.backward(from: output, seed: Tensor(spread(x.count), shape: shape, on: context))
      return try arena.parameters.prefix(4).map { try $0.gradient.floats() }
    }
    #expect(try gradients(inputIsTrainable: true) == gradients(inputIsTrainable: false))
  }

  @Test func dropoutKeepsTheMean() throws {
    // One expert of rank one on ones: y = 1 + z with z = 0 or 1 / (1 - p).
    let context = try TestDevice.context.get()
    let count = 20_000
    let x = try Tensor([Float](repeating: 1, count: count), shape: [count, 1], on: context)
    let one = try Tensor([1], shape: [1, 1, 1], on: context)
    let y = try Tape(.training(seed: 2)).kroneckerAdapter(x, a: one, u: one, v: one, dropout: 0.25).floats()
    let kept = y.count { $0 != 1 }
    #expect(y.allSatisfy { $0 == 1 || abs($0 - (1 + 4 / 3)) < 1e-6 })
    #expect(abs(Double(kept) / Double(count) - 0.75) < 4 * (0.75 * 0.25 / Double(count)).squareRoot())
  }

  @Test func expertsMustDivideTheWidth() throws {
    let context = try TestDevice.context.get()
    func zeros(_ shape: [Int]) throws -> Tensor { try Tensor.zeros(shape, on: context) }
    #expect(throws: OperationError.unevenExperts(width: 7, experts: 2)) {
      try Tape().kroneckerAdapter(
        zeros([1, 7]), a: zeros([2, 2, 2]), u: zeros([2, 3, 1]), v: zeros([2, 1, 3]))
    }
    #expect(throws: OperationError.dropoutProbability(1)) {
      try Tape().kroneckerAdapter(
        zeros([1, 6]), a: zeros([2, 2, 2]), u: zeros([2, 3, 1]), v: zeros([2, 1, 3]), dropout: 1)
    }
  }
}
