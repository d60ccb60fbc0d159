import GraftCases
import GraftOps
import GraftRuntime
import Testing

/// The kernels that GPUs get, in the tiles of each kind of chip, on the device at hand.
@Suite(.serialized, .enabled(if: Runtime.runsKernels, Runtime.runsKernelsReason)) struct TileTests {
  /// Of each shape of tile one.
  private static let chips = ["sm_90", "gfx906", "tgllp", "other"]

  /// What is right for the chip, but for its own instructions.
  private static func context(_ chip: String, group: Int = 256) throws -> Context {
    let device = try Device.select().changing { traits in
      (traits.kind, traits.chip) = (.gpu, chip)
      (traits.vendor, traits.hasSubgroups) = ("vendor", false)
      traits.maxWorkGroupSize = min(traits.maxWorkGroupSize, group)
      traits.localMemory = min(traits.localMemory, 64 << 10)
    }
    return try Context(device, checksMemory: true)
  }

  private func values(_ count: Int) -> [Float] {
    (0..<count).map { 4 * (Float($0) * 0.618034).truncatingRemainder(dividingBy: 1) - 2 }
  }

  /// Each chip takes every fourth case, so that together they take all: compiling is what takes long.
  @Test(arguments: chips.indices) func attentionIsRight(_ index: Int) throws {
    let context = try Self.context(Self.chips[index])
    let checks = AttentionCases.checks.filter { "\($0)".hasSuffix("tiles") }
    for (number, check) in checks.enumerated() where number % Self.chips.count == index {
      #expect(try check.verify(on: context) == [], "\(check)")
    }
    #expect(try context.damagedBuffers() == 0)
  }

  @Test func kroneckerIsRight() throws {
    let context = try Self.context("other")
    for check in KroneckerCases.checks + KroneckerCases.tileChecks {
      #expect(try check.verify(on: context) == [], "\(check)")
    }
    #expect(try context.damagedBuffers() == 0)
  }

  /// As where an item has few registers.
  @Test func kroneckerIsRightWithFewRegisters() throws {
    let context = try Self.context("tgllp")
    let checks = KroneckerCases.tileChecks.filter { "\($0)".contains("33x") }
    for check in checks { #expect(try check.verify(on: context) == [], "\(check)") }
    #expect(try context.damagedBuffers() == 0)
  }

  /// All adapters of a model by one launch, once its weights have changed.
  @Test func adaptersOfAModelArePreparedTogether() throws {
    let plain = try Self.context("other")
    let context = plain.tuned(plain.tuning, isWatched: true)
    let shapes = [[2, 2, 2], [2, 8, 3], [2, 3, 8]]
    let arena = try ParameterArena(
      (0..<3).flatMap { adapter in
        shapes.enumerated().map {
          ("\(adapter).\($0)", $1, values($1.reduce(1, *)).map { $0 * Float(adapter + 1) })
        }
      }, on: context)
    let w = arena.parameters.map(\.value)
    let x = try Tensor(values(5 * 16), shape: [5, 16], on: context)
    /// Of each adapter; of such whose weights lie alone the same is asked.
    func outputs(_ w: [Tensor]) throws -> [[Float]] {
      try stride(from: 0, to: 9, by: 3).map {
        try Tape().kroneckerAdapter(x, a: w[$0], u: w[$0 + 1], v: w[$0 + 2]).floats()
      }
    }
    func alone() throws -> [[Float]] {
      try outputs(w.map { try Tensor($0.floats(), shape: $0.shape, on: context) })
    }
    func prepared() -> [Int] {
      (context.log?.launches ?? []).filter { $0.kernel.function == "kronecker_prepare_all" }.map(\.global[1])
    }
    #expect(try outputs(w) == alone())
    #expect(prepared() == [1, 1, 1])
    try context.fill(arena.gradients.buffer, with: 0x3f80_0000, byteCount: arena.gradients.count * 4)
    try SGD(arena).step(learningRate: 0.1)
    #expect(try outputs(w) == alone())
    #expect(prepared() == [1, 1, 1, 3])
    try w[4].assign(values(48).map { -$0 })
    #expect(try outputs(w) == alone())
    #expect(prepared() == [1, 1, 1, 3, 1])
  }

  /// Rows, columns and what an item takes decide how fast it is, and nothing else.
  @Test func attentionHasTheSameBitsInEveryTile() throws {
    let shape = [2, 75, 3 * 2 * 40]
    var first: [[Float]]?
    for chip in Self.chips {
      let context = try Self.context(chip)
      let arena = try ParameterArena([("qkv", shape, values(shape.reduce(1, *)))], on: context)
      let tape = Tape(.training(seed: 1))
      let output = try tape.attention(arena.parameters[0].value, heads: 2, queries: 70, variant: .tiles)
      try tape.backward(
        from: output, seed: Tensor(values(output.count), shape: output.shape, on: context))
      let bits = try [output.floats(), arena.parameters[0].gradient.floats()]
      #expect(bits == first ?? bits, "\(chip)")
      first = first ?? bits
    }
  }

  /// A NaN of one token reaches every output that it should, and none of another sequence.
  @Test func numbersThatAreNonePass() throws {
    let context = try Self.context("sm_90")
    let (tokens, width) = (37, 16)
    var numbers = values(2 * tokens * 3 * width)
    // A key of the first sequence.
    numbers[(20 * 3 + 1) * width] = .nan
    let qkv = try Tensor(numbers, shape: [2, tokens, 3 * width], on: context)
    let output = try Tape().attention(qkv, heads: 1, variant: .tiles).floats()
    #expect(output.prefix(tokens * width).allSatisfy { $0.isNaN })
    #expect(output.suffix(tokens * width).allSatisfy { $0.isFinite })
  }

  @Test(arguments: [DeviceTraits.Kind.cpu, .gpu]) func operandsArePreparedOnlyForNewWeights(
    _ kind: DeviceTraits.Kind
  ) throws {
    guard kind == .gpu || Runtime.compilesRegisterTiles else { return }
    let device = try Device.select().changing { $0.kind = kind }
    let plain = try Context(device)
    let context = plain.tuned(plain.tuning, isWatched: true)
    let shapes = [[2, 2, 2], [2, 8, 3], [2, 3, 8]]
    let arena = try ParameterArena(
      zip(["a", "u", "v"], shapes).map { ($0, $1, values($1.reduce(1, *))) }, on: context)
    let w = arena.parameters.map(\.value)
    let x = try Tensor(values(5 * 16), shape: [5, 16], on: context)
    func output(scale: Float = 1) throws -> [Float] {
      try Tape().kroneckerAdapter(x, a: w[0], u: w[1], v: w[2], scale: scale).floats()
    }
    func prepared() -> Int {
      context.log?.launches.count { $0.kernel.function.hasPrefix("kronecker_prepare") } ?? 0
    }
    let first = try output()
    let second = try output()
    #expect(second == first)
    #expect(prepared() == 1)
    let scaled = try output(scale: 2)
    let unscaled = try output()
    #expect(scaled != first && unscaled == first)
    #expect(prepared() == 3)
    try w[2].assign(values(48).map { -$0 })
    let assigned = try output()
    #expect(assigned != first)
    #expect(prepared() == 4)
    try context.fill(arena.gradients.buffer, with: 0x3f80_0000, byteCount: arena.gradients.count * 4)
    try SGD(arena).step(learningRate: 0.1)
    let stepped = try output()
    let again = try output()
    #expect(stepped != assigned && again == stepped)
    #expect(prepared() == 5)
  }
}
