import GraftCases
import GraftOps
import GraftRuntime
import Testing

@Suite(.serialized) struct AttentionTests {
  /// Queries, keys and values of one batch, as numbers: (batch, tokens, 3, heads, head size).
  private struct Sequence {
    let batch: Int
    let tokens: Int
    let heads: Int
    let headSize: Int
    var values: [Float]

    var width: Int { heads * headSize }

    init(batch: Int, tokens: Int, heads: Int, headSize: Int, in range: ClosedRange<Float> = -2...2) {
      (self.batch, self.tokens, self.heads, self.headSize) = (batch, tokens, heads, headSize)
      values = (0..<batch * tokens * 3 * heads * headSize).map { index in
        // Weyl's sequence: spread over the range and the same on every run.
        let position = (Float(index) * 0.618034).truncatingRemainder(dividingBy: 1)
        return range.lowerBound + position * (range.upperBound - range.lowerBound)
      }
    }

    func attention(_ variant: AttentionVariant, on context: Context? = nil) throws -> [Float] {
      let qkv = try Tensor(
        values, shape: [batch, tokens, 3 * width], on: context ?? TestDevice.context.get())
      return try Tape().attention(qkv, heads: heads, variant: variant).floats()
    }

    /// The gradient of the sum of the outputs, each weighted by its position.
    func gradient(_ variant: AttentionVariant, on context: Context? = nil) throws -> [Float] {
      let context = try context ?? TestDevice.context.get()
      let arena = try ParameterArena([("qkv", [batch, tokens, 3 * width], values)], on: context)
      let tape = Tape(.training(seed: 1))
      let output = try tape.attention(arena.parameters[0].value, heads: heads, variant: variant)
      let upstream = (0..<output.count).map { Float($0 % 7) - 3 }
      try tape.backward(from: output, seed: Tensor(upstream, shape: output.shape, on: context))
      return try arena.parameters[0].gradient.floats()
    }
  }

  private func largestDifference(_ a: [Float], _ b: [Float]) -> Float {
    #expect(a.count == b.count)
    return zip(a, b).reduce(0) { most, pair in
      let difference = abs(pair.0 - pair.1)
      return difference.isNaN ? .infinity : max(most, difference)
    }
  }

  @Test(arguments: Runtime.attentionVariants)
  func aShiftOfAllKeysChangesNothing(_ variant: AttentionVariant) throws {
    let sequence = Sequence(batch: 1, tokens: 37, heads: 2, headSize: 16)
    var shifted = sequence
    for token in 0..<sequence.tokens {
      for c in 0..<sequence.width { shifted.values[(token * 3 + 1) * sequence.width + c] += Float(c % 5) - 2 }
    }
    // Of pairs the shifted keys are rounded otherwise.
    let allowed: Float = variant == .cpuDotProduct ? 0.02 : 1e-5
    #expect(try largestDifference(sequence.attention(variant), shifted.attention(variant)) < allowed)
  }

  @Test(arguments: Runtime.attentionVariants)
  func permutedTokensGivePermutedOutputs(_ variant: AttentionVariant) throws {
    let sequence = Sequence(batch: 1, tokens: 97, heads: 2, headSize: 8)
    let order = (0..<97).map { $0 * 31 % 97 }
    var permuted = sequence
    for (to, from) in order.enumerated() {
      let row = 3 * sequence.width
      permuted.values.replaceSubrange(
        to * row..<(to + 1) * row, with: sequence.values[from * row..<(from + 1) * row])
    }
    let expected = try sequence.attention(variant)
    let width = sequence.width
    let reordered = order.flatMap { expected[$0 * width..<($0 + 1) * width] }
    #expect(try largestDifference(permuted.attention(variant), reordered) < 1e-5)
  }

  @Test(arguments: Runtime.attentionVariants)
  func imagesDoNotDependOnTheirBatch(_ variant: AttentionVariant) throws {
    let both = Sequence(batch: 2, tokens: 101, heads: 3, headSize: 20)
    let half = both.values.count / 2
    let alone = try [both.values.prefix(half), both.values.suffix(half)].flatMap { values in
      var one = Sequence(batch: 1, tokens: 101, heads: 3, headSize: 20)
      one.values = Array(values)
      return try one.attention(variant)
    }
    #expect(try both.attention(variant) == alone)
  }

  @Test(.enabled(if: Runtime.compilesRegisterTiles, Runtime.registerTilesReason))
  func variantsAgreeOnLongSequences() throws {
    // More queries than one work-item takes, and several tiles of keys.
    let sequence = Sequence(batch: 1, tokens: 1100, heads: 8, headSize: 4)
    #expect(try largestDifference(sequence.attention(.cpu), sequence.attention(.tiles)) < 1e-5)
    let gradients = try (sequence.gradient(.cpu), sequence.gradient(.tiles))
    let most = gradients.0.reduce(0) { max($0, abs($1)) }
    #expect(largestDifference(gradients.0, gradients.1) < 4e-5 * most)
  }

  /// Rounding to bf16 is off by 2^-9 at most, at random: what one wrong place among the operands would do is more.
  @Test(
    .enabled(if: Runtime.attentionVariants.contains(.cpuDotProduct), Runtime.dotProductReason),
    arguments: [(1, 1), (5, 15), (8, 16), (37, 20), (50, 64), (65, 80), (197, 64), (300, 128), (577, 33)])
  func pairsAgreeWithFloatsButForTheirRounding(_ tokens: Int, _ headSize: Int) throws {
    var sequence = Sequence(batch: 1, tokens: tokens, heads: 2, headSize: headSize)
    // Values so evenly spread would cancel in the gradients, and leave the errors.
    var generator = CaseGenerator(seed: 1)
    for index in sequence.values.indices { sequence.values[index] = .random(in: -1...1, using: &generator) }
    func error(_ pairs: [Float], _ floats: [Float]) -> Float {
      func squares(_ x: [Float]) -> Float { x.reduce(0) { $0 + $1 * $1 } }
      return (squares(zip(pairs, floats).map { $0 - $1 }) / squares(floats)).squareRoot()
    }
    #expect(try error(sequence.attention(.cpuDotProduct), sequence.attention(.cpu)) < 0x1p-8)
    let (pairs, floats) = try (sequence.gradient(.cpuDotProduct), sequence.gradient(.cpu))
    for part in 0..<3 {
      // Queries, keys and values, each with an error of its own; of a single token the first two have no gradient.
      func values(_ gradient: [Float]) -> [Float] {
        gradient.indices.filter { $0 / sequence.width % 3 == part }.map { gradient[$0] }
      }
      guard tokens > 1 || part == 2 else { continue }
      #expect(error(values(pairs), values(floats)) < 0x1p-7, "part \(part)")
    }
  }

  /// Tiles for 16 registers of 8 floats and for 32 of 16 do the same sums in the same order.
  @Test(.enabled(if: Runtime.compilesRegisterTiles, Runtime.registerTilesReason))
  func tilesForNarrowAndWideRegistersAgreeToTheLastBit() throws {
    let device = try TestDevice.context.get().device
    for headSize in [20, 64, 80] {
      let sequence = Sequence(batch: 1, tokens: 70, heads: 2, headSize: headSize)
      let (narrow, wide) = try (
        Context(device.changing { $0.vectorWidth = 8 }), Context(device.changing { $0.vectorWidth = 16 })
      )
      #expect(try sequence.attention(.cpu, on: narrow) == sequence.attention(.cpu, on: wide))
      #expect(try sequence.gradient(.cpu, on: narrow) == sequence.gradient(.cpu, on: wide))
    }
  }

  @Test(arguments: Runtime.attentionVariants)
  func largeScoresStayFinite(_ variant: AttentionVariant) throws {
    let sequence = Sequence(batch: 1, tokens: 300, heads: 1, headSize: 16, in: -1000...1000)
    #expect(try sequence.attention(variant).allSatisfy { abs($0) <= 1001 })
    #expect(try sequence.gradient(variant).allSatisfy(\.isFinite))
  }

  @Test func refusesHeadsThatDoNotFit() throws {
    let qkv = try Tensor(
      [Float](repeating: 0, count: 3 * 130), shape: [1, 1, 3 * 130], on: TestDevice.context.get())
    #expect(throws: OperationError.unevenHeads(width: 130, heads: 4)) { try Tape().attention(qkv, heads: 4) }
    #expect(throws: OperationError.unevenHeads(width: 130, heads: 0)) { try Tape().attention(qkv, heads: 0) }
    #expect(throws: OperationError.headTooWide(headSize: 130, limit: 128)) {
      try Tape().attention(qkv, heads: 1)
    }
  }
}
