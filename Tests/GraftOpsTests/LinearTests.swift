import Foundation
import GraftOps
import GraftRuntime
import Testing

@Suite(.serialized) struct LinearTests {
  @Test func keepsOneCopyUntilAGradientIsAsked() throws {
    let context = try TestDevice.context.get()
    let layer = try PreparedLinear(
      weight: [Float](repeating: 0.5, count: 64 * 32), bias: nil, outputs: 64, inputs: 32, on: context)
    #expect(layer.deviceBytes == 64 * 32 * 4)
    let x = try Tensor([Float](repeating: 1, count: 32), shape: [1, 32], on: context)
    _ = try Tape().linear(x, layer)
    #expect(layer.deviceBytes == 64 * 32 * 4)
    let arena = try ParameterArena([("x", [1, 32], [Float](repeating: 1, count: 32))], on: context)
    let tape = Tape(.training(seed: 1))
    let y = try tape.linear(arena.parameters[0].value, layer)
    try tape.backward(from: y, seed: y)
    // CLBlast reads one copy both ways.
    #expect(layer.deviceBytes == 64 * 32 * 4 * (layer.variant == .clblast ? 1 : 2))
    #expect(try arena.parameters[0].gradient.floats() == [Float](repeating: 64 * 16 * 0.5, count: 32))
  }

  /// What stands on a scaled layer sees it without the scale, and a gradient finds each way; of one weight.
  @Test(arguments: [nil, .clblast].filter { $0?.isAvailable ?? true } as [MatmulVariant?])
  func isThereWithoutItsScale(_ variant: MatmulVariant?) throws {
    let context = try Context(TestDevice.context.get().device)
    let layer = try PreparedLinear(
      weight: [1, 2, 3, 4], bias: [5, 6], scale: [10, 0], outputs: 2, inputs: 2, on: context, variant: variant
    )
    let held = context.memory.bytesInUse
    let bare = try layer.unscaled(bias: [0.5, -6])
    #expect(context.memory.bytesInUse - held <= 4096, "the bias alone")
    func results(_ layer: PreparedLinear) throws -> [[Float]] {
      let x = try ParameterArena([("x", [1, 2], [1, 1])], on: context).parameters[0]
      let tape = Tape(.training(seed: 1))
      let y = try tape.linear(x.value, layer)
      try tape.backward(from: y, seed: Tensor([1, 1], shape: [1, 2], on: context))
      return try [y.floats(), x.gradient.floats()]
    }
    for _ in 0..<2 {
      #expect(try results(layer) == [[35, 6], [10, 20]])
      #expect(try results(bare) == [[3.5, 1], [4, 6]])
    }
  }

  @Test func gradientsAddUpOverBatches() throws {
    let context = try TestDevice.context.get()
    let arena = try ParameterArena([("w", [2, 3], [1, 2, 3, 4, 5, 6]), ("b", [2], [0, 0])], on: context)
    let x = try Tensor([1, 10, 100], shape: [1, 3], on: context)
    for _ in 0..<2 {
      let tape = Tape(.training(seed: 1))
      let y = try tape.linear(x, weight: arena.parameters[0].value, bias: arena.parameters[1].value)
      try tape.backward(from: y, seed: Tensor([1, -1], shape: [1, 2], on: context))
    }
    #expect(try arena.parameters[0].gradient.floats() == [2, 20, 200, -2, -20, -200])
    #expect(try arena.parameters[1].gradient.floats() == [2, -2])
  }

  @Test(.enabled(if: Runtime.compilesRegisterTiles, Runtime.registerTilesReason))
  func variantsAgreeToTheLastBit() throws {
    let context = try TestDevice.context.get()
    var weight: [Float] = []
    for index in 0..<77 * 50 { weight.append(Float((index * 37) % 101) / 101 - 0.5) }
    let x = try Tensor(weight, shape: [77, 50], on: context)
    let results = try [MatmulVariant.cpuRegisterTiled, .localMemoryTiled].map { variant in
      let layer = try PreparedLinear(
        weight: weight, bias: nil, outputs: 77, inputs: 50, on: context, variant: variant)
      return try Tape().linear(x, layer).floats()
    }
    #expect(results[0] == results[1])
  }

  @Test func dotProductsPassWhatIsNoNumber() throws {
    let context = try TestDevice.context.get()
    guard context.traits.hasDotProduct else { return }
    let layer = try PreparedLinear(
      weight: [1, 1, 1], bias: nil, outputs: 1, inputs: 3, on: context, precision: .bf16,
      variant: .cpuDotProduct)
    let x = try Tensor([1, .nan, 2, 1, 2, .infinity, 1, 2, 3], shape: [3, 3], on: context)
    let y = try Tape().linear(x, layer).floats()
    #expect(y[0].isNaN && y[1] == .infinity && y[2] == 6)
  }

  /// Rounding as it is written is rounding as it is read, in both directions.
  @Test func aResultForAProductOfPairsIsRoundedOnce() throws {
    let context = try TestDevice.context.get()
    guard context.traits.hasDotProduct else { return }
    func noise(_ count: Int) -> [Float] { (0..<count).map { Float(($0 * 37) % 101) / 101 - 0.5 } }
    func layer(_ outputs: Int, _ inputs: Int) throws -> PreparedLinear {
      try PreparedLinear(
        weight: noise(outputs * inputs), bias: nil, outputs: outputs, inputs: inputs, on: context,
        precision: .bf16, variant: .cpuDotProduct)
    }
    let first = try layer(38, 20)
    let second = try layer(9, 38)
    func run(readBy reader: PreparedLinear?) throws -> [[Float]] {
      let arena = try ParameterArena([("x", [13, 20], noise(13 * 20))], on: context)
      let tape = Tape(.training(seed: 1))
      let hidden = try tape.linear(arena.parameters[0].value, first, activation: .gelu, readBy: reader)
      #expect(hidden.element == (reader == nil ? Tensor.Element.float32 : .uint16))
      let y = try tape.linear(hidden, second)
      try tape.backward(from: y, seed: y)
      let gradient = try arena.parameters[0].gradient.floats()
      return [try y.floats(), gradient]
    }
    #expect(try run(readBy: second) == run(readBy: nil))
    #expect(try context.damagedBuffers() == 0)
  }

  @Test func dotProductsAreForBrainFloatsOnDevicesThatHaveThem() throws {
    let device = try TestDevice.context.get().device
    let without = try Context(device.changing { $0.hasDotProduct = false })
    #expect(throws: MatmulError.anotherPrecision(.cpuDotProduct, .fp16)) {
      _ = try PreparedLinear(
        weight: [1], bias: nil, outputs: 1, inputs: 1, on: without, precision: .fp16, variant: .cpuDotProduct)
    }
    #expect(throws: MatmulError.noDotProduct(device: device.traits.name)) {
      _ = try PreparedLinear(
        weight: [1], bias: nil, outputs: 1, inputs: 1, on: without, precision: .bf16, variant: .cpuDotProduct)
    }
    #expect(try MatmulVariant.choose(nil, on: without, precision: .bf16) != .cpuDotProduct)
    #expect(try MatmulVariant.choose(nil, on: TestDevice.context.get()) != .cpuDotProduct)
  }

  /// A variant that computes wrongly is found out, and not used.
  @Test func aVariantThatFailsItsCheckIsNotChosen() throws {
    let context = try Context(TestDevice.context.get().device.changing { $0.hasDotProduct = true })
    #expect(!context.selfChecks.verdict(on: MatmulVariant.cpuDotProduct.rawValue) { false })
    #expect(try MatmulVariant.choose(nil, on: context, precision: .bf16) != .cpuDotProduct)
  }

  /// Tiles for 16 registers of 8 floats and for 32 of 16 do the same sums in the same order.
  @Test(.enabled(if: Runtime.compilesRegisterTiles, Runtime.registerTilesReason))
  func tilesForNarrowAndWideRegistersAgreeToTheLastBit() throws {
    var weight: [Float] = []
    for index in 0..<77 * 50 { weight.append(Float((index * 37) % 101) / 101 - 0.5) }
    func products(vectorWidth: Int, rows: Int) throws -> [Float] {
      let device = try TestDevice.context.get().device.changing { $0.vectorWidth = vectorWidth }
      let context = try Context(device)
      let layer = try PreparedLinear(
        weight: weight, bias: nil, outputs: 77, inputs: 50, on: context, variant: .cpuRegisterTiled)
      let x = try Tensor(Array(weight.prefix(rows * 50)), shape: [rows, 50], on: context)
      return try Tape().linear(x, layer).floats()
    }
    // Whole tiles, and the smaller ones for a few rows.
    for rows in [77, 5, 2] {
      #expect(try products(vectorWidth: 8, rows: rows) == products(vectorWidth: 16, rows: rows))
    }
  }

  @Test func namesVariantsThatAreNotHere() throws {
    #expect(
      "\(MatmulError.unknownVariant("fast"))".contains(
        "cpuRegisterTiled, cpuDotProduct, localMemoryTiled, matrixUnits, clblast"))
    #expect("\(MatmulError.unavailable(.clblast))".contains("trait CLBlast"))
    #expect("\(MatmulError.clblast(status: -3))".contains("GRAFT_MATMUL"))
    #expect("\(MatmulError.wrongLibrary(version: "1.6.2", device: "Arc"))".contains("1.6.3 or later"))
    #expect("\(MatmulError.anotherPrecision(.clblast, .bf16))".contains("bf16"))
    #expect("\(MatmulError.beyondHalf(70_000))".contains("70000"))
  }
}
