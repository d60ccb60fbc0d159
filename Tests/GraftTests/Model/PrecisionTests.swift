import GraftOps
import GraftRuntime
import Testing

@testable import Graft

/// A backbone whose weights are kept in 16 bits.
@Suite(.serialized) struct PrecisionTests {
  /// A file's weights as bfloat16 holds them, in fp32.
  private struct Rounded: WeightSource {
    let file: CanonicalWeights

    func floats(_ tensor: TensorSpec) throws -> [Float] {
      let values = try file.floats(tensor)
      guard tensor.shape.count > 1, tensor.name.hasSuffix(".weight") else { return values }
      return values.map {
        let bits = $0.bitPattern
        return Float(bitPattern: (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
      }
    }
  }

  /// - Parameter exact: products are computed in fp32 whatever the processor offers.
  private func vit(_ precision: StoragePrecision, exact: Bool = false) throws -> Backbone {
    let device = try Fixtures.context.get().device.changing { if exact { $0.hasDotProduct = false } }
    let context = try Context(device, precision: precision)
    return try Backbone(path: Fixtures.smallPath, options: .init(heads: 4), on: context)
  }

  @Test func brainFloatsAreTheWeightsRoundedToNearest() throws {
    let kept = try vit(.bf16, exact: true)
    let file = try CanonicalWeights(TensorFiles.open(Fixtures.smallPath))
    let context = try Fixtures.context.get()
    let rounded = try Backbone(
      kept.shape, weights: Rounded(file: file), file: nil, resampling: .bicubicAntialias, on: context)
    let images = Fixtures.noise(2)
    #expect(try features(kept, images) == features(rounded, images))
    #expect(try features(kept, images) != features(vit(.fp32), images))
  }

  /// Layer scale stays out of the weights, which are kept as they are stored.
  @Test func layerScaleIsNotRoundedIntoTheWeights() throws {
    let device = try Fixtures.context.get().device.changing { $0.hasDotProduct = false }
    let (whole, half) = try (Context(device), Context(device, precision: .bf16))
    let images = Fixtures.noise(2, size: 16)
    for tiny in LayerScaleTests.backbones {
      let (shape, file) = try (tiny.settings().shape(), CanonicalWeights(TensorFiles.open(tiny.path)))
      func features(_ weights: any WeightSource, on context: Context) throws -> [Float] {
        try self.features(
          Backbone(shape, weights: weights, file: nil, resampling: .bicubicAntialias, on: context), images)
      }
      let kept = try features(file, on: half)
      #expect(try kept == features(Rounded(file: file), on: whole), "\(tiny.name)")
      #expect(try kept != features(file, on: whole), "\(tiny.name)")
    }
  }

  private func features(_ vit: Backbone, _ images: ImageBatch) throws -> [Float] {
    try vit.features(of: vit.input(images), on: Tape()).floats()
  }

  @Test(arguments: [(StoragePrecision.bf16, 2e-2), (.fp16, 2e-3)])
  func halvesTheWeightsForASmallDifference(_ precision: StoragePrecision, _ tolerance: Double) throws {
    let (whole, half) = try (vit(.fp32), vit(precision))
    let blocks = whole.shape.depth * 12 * whole.shape.featureWidth * whole.shape.featureWidth
    let saved = whole.context.memory.bytesInUse - half.context.memory.bytesInUse
    #expect(Double(saved) > 0.95 * Double(2 * blocks))
    let (a, b) = try (GraftedModel.small("alore", on: whole), GraftedModel.small("alore", on: half))
    try a.perturb()
    try b.perturb()
    let difference = try relativeError(
      b.logits(Fixtures.noise(4)).flatMap { $0 }, a.logits(Fixtures.noise(4)).flatMap { $0 })
    #expect(difference > 0 && difference < tolerance)
    // Gradients pass through the same rounded weights.
    _ = try a.computeGradients(Fixtures.noise(4))
    _ = try b.computeGradients(Fixtures.noise(4))
    let gradients = try [a, b].map { try $0.arena.parameters.flatMap { try $0.gradient.floats() } }
    let deviation = relativeError(gradients[1], gradients[0])
    #expect(deviation > 0 && deviation < 5 * tolerance)
  }

  /// Products by the processor's bf16 instruction round what goes in, too.
  @Test func anotherWayToMultiplyIsNotContinued() async throws {
    guard try Fixtures.context.get().traits.hasDotProduct else { return }
    try await Fixtures.withFolder { folder in
      func run(exact: Bool) async throws {
        let model = try GraftedModel(vit(.bf16, exact: exact), adapter: ILA(), classes: GraftedModel.names)
        let trainer = try Trainer(model, recipe: Fixtures.recipe, seed: 5, output: folder)
        _ = try await trainer.run(
          training: Fixtures.coloured(20, seed: 1), validation: Fixtures.coloured(9), resumes: true,
          shouldStop: { true })
      }
      try await run(exact: false)
      await #expect(throws: GraftError.self) { try await run(exact: true) }
      try await run(exact: false)
    }
  }

  @Test func whatHalfCannotHoldIsRefused() throws {
    let context = try Context(Fixtures.context.get().device, precision: .fp16)
    #expect(throws: MatmulError.beyondHalf(-7e4)) {
      _ = try PreparedLinear(weight: [1, -7e4], bias: nil, outputs: 1, inputs: 2, on: context)
    }
  }

  @Test func aRunInAnotherPrecisionIsNotContinued() async throws {
    try await Fixtures.withFolder { folder in
      func run(_ precision: StoragePrecision) async throws {
        let model = try GraftedModel(vit(precision), adapter: ILA(), classes: GraftedModel.names)
        let trainer = try Trainer(model, recipe: Fixtures.recipe, seed: 5, output: folder)
        _ = try await trainer.run(
          training: Fixtures.coloured(20, seed: 1), validation: Fixtures.coloured(9), resumes: true,
          shouldStop: { true })
      }
      try await run(.fp32)
      await #expect(throws: GraftError.self) { try await run(.bf16) }
      try await run(.fp32)
    }
  }
}
