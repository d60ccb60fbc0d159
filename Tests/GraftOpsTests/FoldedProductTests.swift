import GraftCases
import GraftRuntime
import Testing

@testable import GraftOps

/// What a GPU's products take in — norms in front, activation and dropout behind, the derivatives of both, slices of
/// gradients — is what one operation after another gives.
@Suite(.serialized) struct FoldedProductTests {
  struct Shape: CustomTestStringConvertible {
    let rows, width, hidden, inner: Int
    var offset: Float = 0

    var testDescription: String {
      "\(rows) rows, \(width) to \(hidden) to \(inner)\(offset == 0 ? "" : ", about \(offset)")"
    }
  }

  private static func context(kind: DeviceTraits.Kind) throws -> Context {
    let device = try Device.select().changing { traits in
      guard kind == .gpu else { return }
      (traits.kind, traits.chip, traits.name) = (.gpu, "sm_90", "stand-in")
    }
    return try Context(device, checksMemory: true)
  }

  /// A stream, a bottleneck of three layers behind a norm of it and a frozen layer, forwards and back.
  struct Network {
    let arena: ParameterArena
    let frozen: PreparedLinear
    let norm: LayerNorm
    let context: Context

    private static func numbers(_ count: Int, seed: Int, scale: Float = 1) -> [Float] {
      (0..<count).map { scale * Float(($0 &+ seed) &* 7919 % 1009 - 504) / 504 }
    }

    init(_ shape: Shape, on context: Context) throws {
      let (d, h, k) = (shape.width, shape.hidden, shape.inner)
      func entry(_ name: String, _ shape: [Int], offset: Float = 0) -> (String, [Int], [Float]) {
        let values = Self.numbers(
          shape.reduce(1, *), seed: name.utf8.reduce(0) { 31 * $0 + Int($1) } % 1000, scale: 0.3)
        return (name, shape, values.map { $0 + offset })
      }
      arena = try ParameterArena(
        [
          entry("stem", [d, 12]), entry("stem.bias", [d], offset: shape.offset), entry("down", [h, d]),
          entry("down.bias", [h]), entry("middle", [k, h]), entry("middle.bias", [k]), entry("up", [d, k]),
          entry("up.bias", [d]),
        ], on: context)
      frozen = try PreparedLinear(
        weight: Self.numbers(d * d, seed: 3, scale: 0.1), bias: Self.numbers(d, seed: 5), outputs: d,
        inputs: d, on: context)
      norm = LayerNorm(
        weight: try Tensor(Self.numbers(d, seed: 11), shape: [d], on: context),
        bias: try Tensor(Self.numbers(d, seed: 13), shape: [d], on: context), epsilon: 1e-6)
      self.context = context
    }

    struct Failure: Error {}

    /// The result of so many rows, and all gradients.
    ///
    /// - Parameter fails: throws ``Failure`` at the end of the backward pass.
    func step(rows: Int, fails: Bool = false) throws -> (result: [Float], gradients: [Float]) {
      let input = try Tensor(Self.numbers(rows * 12, seed: 17), shape: [1, rows, 12], on: context)
      let tape = Tape(.training(seed: 9))
      var p = Dictionary(uniqueKeysWithValues: arena.parameters.map { ($0.name, $0.value) })
      if fails, let bias = p["stem.bias"] {
        let copy = try Elementwise.scale(bias, by: 1)
        tape.record(copy) { _, _ in throw Failure() }
        p["stem.bias"] = copy
      }
      func linear(
        _ x: LinearInput, _ name: String, _ activation: Activation = .none, dropout: Float = 0,
        residual: Tensor? = nil
      ) throws -> Tensor {
        try tape.linear(
          x, weight: #require(p[name]), bias: p["\(name).bias"], activation: activation, dropout: dropout,
          residual: residual)
      }
      let width = norm.weight.count
      let zeros = try Tensor.zeros([1, input.rows, width], on: context)
      let stream = try linear(.rows(input), "stem", residual: zeros)
      let normed = try tape.normed(stream, behind: norm)
      var hidden = try linear(normed, "down", .quickGELU, dropout: 0.2)
      hidden = try linear(.rows(hidden), "middle", .gelu)
      let sum = try linear(.rows(hidden), "up", dropout: 0.1, residual: stream)
      let read = try tape.normed(sum, behind: norm)
      let inner = try tape.linear(read, frozen, activation: .geluTanh)
      // The same weights twice in a step.
      let again = try linear(.rows(linear(normed, "down", .relu)), "middle", .silu)
      let other = try linear(.rows(again), "up")
      let result = try tape.linear(.rows(inner), frozen, residual: tape.add(sum, other))
      let seed = try Tensor(Self.numbers(result.count, seed: 23), shape: result.shape, on: context)
      try tape.backward(from: result, seed: seed)
      return (try result.floats(), try arena.gradients.floats())
    }
  }

  @Test(
    .enabled(if: Runtime.runsKernels, Runtime.runsKernelsReason),
    arguments: [
      Shape(rows: 70, width: 64, hidden: 8, inner: 8), Shape(rows: 1, width: 36, hidden: 5, inner: 7),
      Shape(rows: 331, width: 100, hidden: 12, inner: 9),
      Shape(rows: 33, width: 37, hidden: 4, inner: 3),
      Shape(rows: 40, width: 64, hidden: 8, inner: 8, offset: 1000),
    ])
  func giveWhatTheStepsGive(_ shape: Shape) throws {
    let context = try Self.context(kind: .gpu)
    let (folded, plain) = (try Network(shape, on: context), try Network(shape, on: Self.context(kind: .cpu)))
    // What a step left must not be in the next, which has fewer rows.
    for rows in [shape.rows, (shape.rows + 3) / 4] {
      let (found, wanted) = (try folded.step(rows: rows), try plain.step(rows: rows))
      #expect(Self.difference(found.result, wanted.result) < 2e-5, "the result of \(rows) rows")
      #expect(Self.difference(found.gradients, wanted.gradients) < 2e-5, "the gradients of \(rows) rows")
    }
    #expect(try context.damagedBuffers() == 0)
  }

  /// Nothing of a step that failed is added by the next.
  @Test(.enabled(if: Runtime.runsKernels, Runtime.runsKernelsReason)) func aFailedStepLeavesNothing() throws {
    let shape = Shape(rows: 70, width: 64, hidden: 8, inner: 8)
    let context = try Self.context(kind: .gpu)
    let (network, fresh) = (try Network(shape, on: context), try Network(shape, on: context))
    #expect(throws: Network.Failure.self) { try network.step(rows: 70, fails: true) }
    try network.arena.clearGradients()
    #expect(try network.step(rows: 40).gradients == fresh.step(rows: 40).gradients)
  }

  /// Side by side with one that needs as many slices as before, whose sums take all of them in.
  @Test(.enabled(if: Runtime.runsKernels, Runtime.runsKernelsReason)) func slicesNoLongerNeededAreCleared()
    throws
  {
    let context = try Self.context(kind: .gpu)
    func arena() throws -> ParameterArena {
      let values = [Float](repeating: 1, count: 8 * 16)
      return try ParameterArena([("first", [8, 16], values), ("second", [8, 16], values)], on: context)
    }
    func gradients(of arena: ParameterArena, rows: [Int]) throws -> [Float] {
      try arena.clearGradients()
      let tape = Tape(.training(seed: 1))
      let outputs = try zip(arena.parameters, rows).map { parameter, rows in
        let input = try Tensor([Float](repeating: 0.5, count: rows * 16), shape: [rows, 16], on: context)
        let y = try tape.linear(.rows(input), weight: parameter.value, bias: nil)
        return (
          output: y, seed: try Tensor([Float](repeating: 1, count: rows * 8), shape: y.shape, on: context)
        )
      }
      try tape.backward(from: outputs)
      return try arena.gradients.floats()
    }
    let used = try arena()
    _ = try gradients(of: used, rows: [331, 331])
    #expect(try gradients(of: used, rows: [20, 331]) == gradients(of: arena(), rows: [20, 331]))
  }

  /// The largest difference, as a share of the largest number.
  private static func difference(_ a: [Float], _ b: [Float]) -> Float {
    let largest = b.map(abs).max() ?? 0
    return zip(a, b).map { $0.isFinite ? abs($0 - $1) : .infinity }.max().map { $0 / max(largest, 1e-30) }
      ?? 0
  }
}
