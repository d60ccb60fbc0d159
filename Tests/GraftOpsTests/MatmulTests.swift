import GraftCases
import Testing

@testable import GraftOps
@testable import GraftRuntime

/// Every kernel, tile and layout of a GPU's products, on this device under the traits of each family of GPUs.
@Suite(.serialized) struct MatmulTests {
  private static func context(as traits: (inout DeviceTraits) -> Void) throws -> Context {
    try Context(
      Device.select().changing {
        $0.kind = .gpu
        traits(&$0)
      }, checksMemory: true)
  }

  private static func noise(_ count: Int, _ seed: UInt32) -> [Float] {
    var state = seed
    return (0..<count).map { _ in
      state = state &* 1_664_525 &+ 1_013_904_223
      return Float(state >> 8) / Float(1 << 23) - 1
    }
  }

  /// The sum that every kernel must give: one chain of multiply-adds in the order of k.
  private static func chain(_ a: [Float], _ b: [Float], _ m: Int, _ n: Int, _ k: Int) -> [Float] {
    (0..<m * n).map { element in
      (0..<k).reduce(Float(0)) { $0.addingProduct(a[element / n * k + $1], b[element % n * k + $1]) }
    }
  }

  /// Rows, columns and steps: 1, odd, more than a tile, one step, uneven steps, whole quads.
  private static let shapes = [(35, 33, 65), (132, 68, 36)]
  /// The same of few rows or columns, which have tiles of their own.
  private static let slim = [
    (1, 1, 1), (3, 5, 7), (9, 131, 19), (20, 64, 70), (70, 12, 44), (33, 70, 1), (8, 36, 200),
  ]

  /// One of each structure that the candidates have.
  private static let tiles = [
    MatmulTile(128, 128, item: (8, 8)), MatmulTile(128, 64, item: (8, 8), ahead: 0),
    MatmulTile(64, 64, item: (8, 8), ahead: 4), MatmulTile(32, 64, item: (8, 4)),
    MatmulTile(64, 64, item: (8, 4), depth: 16, ahead: 0), MatmulTile(64, 64, item: (8, 4), buffers: 1),
    MatmulTile(32, 32, item: (4, 4), ahead: 1, buffers: 1),
    MatmulTile(64, 64, item: (8, 4)).limited(items: 1, localMemory: 1 << 10),
  ]

  /// Without fused multiply-adds the chain is another.
  private static func isFused(_ context: Context) -> Bool {
    !context.traits.quirks.contains(.reportsNoFusedMultiplyAdd)
  }

  /// y = x W^T of a frozen layer, and its gradient.
  private func frozen(_ context: Context, _ shape: (Int, Int, Int)) throws -> [Float] {
    let (m, n, k) = shape
    let layer = try PreparedLinear(
      weight: Self.noise(n * k, 2), bias: nil, outputs: n, inputs: k, on: context, variant: .localMemoryTiled)
    let x = try Tensor(Self.noise(m * k, 1), shape: [m, k], on: context)
    return try Tape().linear(x, layer).floats()
  }

  /// y = x W^T of a trainable layer, and the gradients of x and W from the seed y.
  private func trainable(_ context: Context, _ shape: (Int, Int, Int)) throws -> [[Float]] {
    let (m, n, k) = shape
    let arena = try ParameterArena(
      [("x", [m, k], Self.noise(m * k, 1)), ("w", [n, k], Self.noise(n * k, 2))], on: context)
    let (x, w) = (arena.parameters[0], arena.parameters[1])
    let tape = Tape(.training(seed: 1))
    let y = try tape.linear(x.value, weight: w.value, bias: nil, variant: .localMemoryTiled)
    try tape.backward(from: y, seed: y)
    return try [y.floats(), x.gradient.floats(), w.gradient.floats()]
  }

  private func tuned(_ context: Context, _ change: (inout Tuning.Matmul) -> Void) -> Context {
    var tuning = context.tuning
    change(&tuning.matmul)
    return context.tuned(tuning)
  }

  /// Each tile takes one of the shapes in turn; GRAFT_LIMITS=all takes all for each.
  @Test(.enabled(if: Runtime.runsKernels, Runtime.runsKernelsReason), arguments: tiles.indices)
  func tilesAgreeToTheLastBit(_ index: Int) throws {
    let tile = Self.tiles[index]
    let context = try Self.context { _ in }
    guard tile.fault(items: context.traits.largestGroup, localMemory: context.traits.localMemory) == nil
    else {
      return
    }
    let mine = tuned(context) { ($0.few, $0.some, $0.many) = (tile, tile, tile) }
    for (number, shape) in Self.shapes.enumerated()
    where Runtime.takesAll || number == index % Self.shapes.count {
      try agrees(mine, with: context, shape)
    }
    #expect(try context.damagedBuffers() == 0)
  }

  @Test(.enabled(if: Runtime.runsKernels, Runtime.runsKernelsReason))
  func slimProductsAgreeToTheLastBit() throws {
    let context = try Self.context { _ in }
    // The least group, which does the same in other pieces.
    let least = try Self.context { ($0.maxWorkGroupSize, $0.maxWorkItemSizes) = (4, [4, 4, 4]) }
    for shape in Self.slim { try agrees(context, with: least, shape) }
    #expect(try context.damagedBuffers() == 0 && least.damagedBuffers() == 0)
  }

  private func agrees(_ context: Context, with other: Context, _ shape: (Int, Int, Int)) throws {
    let (m, n, k) = shape
    let y = try frozen(context, shape)
    if Self.isFused(context) {
      #expect(y == Self.chain(Self.noise(m * k, 1), Self.noise(n * k, 2), m, n, k), "\(shape)")
    }
    let trained = try trainable(context, shape)
    #expect(trained[0] == y, "\(shape)")
    #expect(try trained == trainable(other, shape), "\(shape)")
  }

  @Test(
    .enabled(if: Runtime.runsKernels, Runtime.runsKernelsReason),
    arguments: [(8, 8), (16, 8), (16, 16), (8, 16)])
  func lanesAgreeToTheLastBit(_ wave: Int, _ rows: Int) throws {
    let context = try Self.context { _ in }
    let lanes = tuned(context) { ($0.kernel, $0.lanes) = (.lanes, MatmulLanes(wave: wave, rows: rows)) }
    for shape in Self.shapes + Self.slim {
      #expect(try frozen(lanes, shape) == frozen(context, shape), "\(shape)")
    }
    #expect(try context.damagedBuffers() == 0)
  }

  private static let chips = ["sm_90", "gfx942", "dg2", "pvc"]

  /// All that is folded into products and every storage, by what each family is given: some of the cases each.
  @Test(.enabled(if: Runtime.runsKernels, Runtime.runsKernelsReason), arguments: chips)
  func everyProductIsRightOnEveryChip(_ chip: String) throws {
    let context = try Self.context { ($0.chip, $0.hasSubgroups) = (chip, true) }
    let isLanes = context.tuning.matmul.kernel == .lanes
    #expect(isLanes == ["dg2", "pvc"].contains(chip))
    let mine = LinearCases.checks.filter {
      // Lanes serve frozen products alone.
      "\($0)".hasSuffix("localMemoryTiled") && (!isLanes || "\($0)".hasPrefix("matmul"))
    }
    let part = try #require(Self.chips.firstIndex(of: chip))
    let modulus = isLanes ? 8 : 16
    for index in mine.indices where index % modulus == part % modulus {
      #expect(try mine[index].verify(on: context) == [], "\(mine[index])")
    }
    #expect(try context.damagedBuffers() == 0)
  }

  @Test(arguments: [MatmulKernel.tiles, .lanes])
  func whatIsNoNumberStaysInItsRow(_ kernel: MatmulKernel) throws {
    let context = tuned(try Self.context { _ in }) { $0.kernel = kernel }
    let (m, n, k) = (37, 35, 21)
    var values = [Float](repeating: 1, count: m * k)
    values[5 * k + 20] = .nan
    values[36 * k] = .infinity
    let layer = try PreparedLinear(
      weight: [Float](repeating: 1, count: n * k), bias: nil, outputs: n, inputs: k, on: context,
      variant: .localMemoryTiled)
    let y = try Tape().linear(Tensor(values, shape: [m, k], on: context), layer).floats()
    for row in 0..<m {
      for value in y[row * n..<(row + 1) * n] {
        #expect(row == 5 ? value.isNaN : value == (row == 36 ? .infinity : Float(k)), "row \(row)")
      }
    }
  }

  /// The slices of a weight's gradient follow from its shape: the same bits on every device.
  @Test func weightGradientsAreTheSameOnEveryChip() throws {
    let gradients = try ["sm_80", "gfx90a", "gfx1100", "dg2"].map { chip in
      try trainable(Self.context { ($0.chip, $0.computeUnits) = (chip, chip.count) }, (300, 9, 20))[2]
    }
    #expect(Set(gradients).count == 1)
  }

  @Test func whatADeviceRefusesIsSmaller() throws {
    let context = try Self.context { ($0.maxWorkGroupSize, $0.maxWorkItemSizes) = (4, [4, 4, 4]) }
    let lanes = tuned(context) { $0.kernel = .lanes }
    #expect(try frozen(lanes, (35, 33, 65)) == frozen(Self.context { _ in }, (35, 33, 65)))
  }
}
