import Testing

@testable import GraftOps
@testable import GraftRuntime

/// Where matrix units want their fragments, on a device without them: lanes are emulated, register by register.
///
/// Compiling takes most of the time: GRAFT_LIMITS=all tries each map in more shapes and sizes.
@Suite(.serialized) struct MatrixUnitTests {
  private static let small = MatmulUnits(1, 1, waves: (1, 1))
  private static let several = MatmulUnits(2, 2, waves: (1, 1))
  /// Several waves, fewer fetches than items, straight to local memory and through one half of it.
  private static let groups = [
    MatmulUnits(1, 2, waves: (2, 2), buffers: 1), MatmulUnits(2, 1, waves: (1, 2), held: 0),
  ]

  /// A device that is programmed as GPUs are, whatever it was tuned to.
  private func context(unit: MatrixUnit? = nil, _ units: MatmulUnits? = nil) throws -> Context {
    let device = try Device.select().changing { ($0.kind, $0.matrixUnit) = (.gpu, unit) }
    var tuning = Tuning.default(for: device.traits)
    tuning.matmul.units = units
    return try Context(device, precision: .bf16).tuned(tuning, isWatched: true)
  }

  private func emulated(_ unit: MatrixUnit, _ shape: MatmulUnits, mutant: Int? = nil) -> MatrixUnits.Build {
    .init(unit: unit, shape: shape, isEmulated: true, mutant: mutant)
  }

  @Test(.enabled(if: Runtime.runsKernels, Runtime.runsKernelsReason), arguments: MatrixUnit.maps)
  func mapsAreRight(_ unit: MatrixUnit) throws {
    let context = try context()
    // Lengths and mistakes that one build serves.
    func build(mutant: Int) -> MatrixUnits.Build { emulated(unit, Self.small, mutant: mutant) }
    for size in [(1, 1, 1), (1, 77, 3), (67, 1, 33), (35, 41, 45)] {
      #expect(try MatrixUnits.isExact(size, by: build(mutant: 0), on: context), "\(size)")
    }
    #expect(try MatrixUnits.isRight((35, 37, 203), by: build(mutant: 0), on: context))
    for mutant in 1...8 {
      #expect(
        try !MatrixUnits.isExact((35, 41, 45), by: build(mutant: mutant), on: context), "mutant \(mutant)")
    }
    #expect(try context.damagedBuffers() == 0)
  }

  /// By the check that a device must pass.
  @Test(
    .enabled(if: Runtime.runsKernels, Runtime.runsKernelsReason),
    arguments: Runtime.takesAll ? MatrixUnit.maps : [.nvidia(major: 8)])
  func productsAreRight(_ unit: MatrixUnit) throws {
    let context = try context()
    let shape = Runtime.takesAll ? Self.several : Self.small
    #expect(try MatrixUnits.check(emulated(unit, shape), context))
    #expect(try context.damagedBuffers() == 0)
  }

  /// In the shapes that a tuning may choose.
  @Test(
    .enabled(if: Runtime.holdsEmulatedGroups, Runtime.emulatedGroupsReason),
    arguments: Runtime.takesAll ? MatrixUnit.maps : [.amdMFMA])
  func groupsOfWavesAreRight(_ unit: MatrixUnit) throws {
    let context = try context()
    let candidates = MatmulUnits.candidates(unit)
    let shapes = Runtime.takesAll ? candidates + Self.groups : [candidates[0]]
    for shape in shapes where shape.items(unit) <= context.traits.largestGroup {
      let build = emulated(unit, shape)
      for size in [(139, 141, 45), (270, 203, 97)] {
        #expect(try MatrixUnits.isExact(size, by: build, on: context), "\(size), \(shape)")
      }
      guard Runtime.takesAll else { continue }
      #expect(try MatrixUnits.check(build, context), "\(shape)")
    }
    #expect(try context.damagedBuffers() == 0)
  }

  /// A row, a column, and every rest of a step.
  @Test(
    .enabled(if: Runtime.runsKernels && Runtime.takesAll, "GRAFT_LIMITS=all takes all sizes"),
    arguments: MatrixUnit.maps)
  func everySizeIsRight(_ unit: MatrixUnit) throws {
    let context = try context()
    for shape in [Self.small, Self.several] {
      let build = emulated(unit, shape)
      for k in [1, 2, 3, 8, 15, 16, 31, 32, 33, 63, 64, 66, 95, 101] {
        for (m, n) in [(1, 1), (1, 77), (9, 1), (15, 33), (67, 129)] {
          #expect(try MatrixUnits.isExact((m, n, k), by: build, on: context), "\(m) x \(n) x \(k), \(shape)")
        }
      }
      for size in [(8, 5, 10), (40, 61, 96), (17, 130, 301)] {
        #expect(try MatrixUnits.isRight(size, by: build, on: context), "\(size), \(shape)")
      }
    }
    #expect(try context.damagedBuffers() == 0)
  }

  /// The last step is that of other products: whole numbers give the same bits.
  @Test(
    .enabled(if: Runtime.runsKernels, Runtime.runsKernelsReason),
    arguments: Runtime.takesAll ? MatrixUnit.maps : [.amdWMMA(generation: 11)])
  func lastStepIsThatOfOtherProducts(_ unit: MatrixUnit) throws {
    let context = try context()
    let (m, n, k) = (19, 41, 37)
    func tensor(_ shape: [Int], _ step: Int) throws -> Tensor {
      let count = shape.reduce(1, *)
      return try Tensor((0..<count).map { Float($0 * step % 23 - 11) }, shape: shape, on: context)
    }
    let (a, matrix) = (try tensor([m, k], 7), try tensor([n, k], 5))
    func results(isPaired: Bool, _ kind: Activation, keeps: Bool) throws -> [[Float]] {
      let panels = try MatmulPanels(
        matrix, inner: k, columns: n, transposed: true, precision: .bf16, isPaired: isPaired)
      let output = try Tensor(empty: [m, n], on: context)
      let before = keeps ? try Tensor(empty: [m, n], on: context) : nil
      let epilogue = try MatmulEpilogue(
        scale: keeps ? tensor([n], 3) : nil, bias: tensor([n], 11), activation: kind,
        residual: keeps ? tensor([m, n], 13) : nil, preactivation: before)
      if isPaired {
        try MatrixUnits.multiply(
          a, panels, rows: m, epilogue: epilogue, into: output, by: emulated(unit, Self.small))
      } else {
        try MatmulKernels.frozen(.rows(a), panels, rows: m, epilogue: epilogue, into: output)
      }
      return [try output.floats()] + (try before.map { [try $0.floats()] } ?? [])
    }
    for (kind, keeps) in [(Activation.none, false), (.relu, true)] {
      #expect(
        try results(isPaired: true, kind, keeps: keeps) == results(isPaired: false, kind, keeps: keeps),
        "\(kind)")
    }
    #expect(try context.damagedBuffers() == 0)
  }

  /// A device whose compiler lacks the instruction, as every one here does.
  @Test func whatDoesNotBuildIsOff() throws {
    // One by a builtin function, which a front end knows or refuses.
    let unit = MatrixUnit.amdMFMA
    let shape = MatmulUnits.candidates(unit)[0]
    let tuned = try context(unit: unit, shape)
    #expect(try MatmulVariant.choose(nil, on: tuned, precision: .bf16) == .localMemoryTiled)
    #expect(throws: MatmulError.noMatrixUnits(device: tuned.traits.name)) {
      try PreparedLinear(weight: [1], bias: nil, outputs: 1, inputs: 1, on: tuned, variant: .matrixUnits)
    }
  }

  /// Only what was tuned, and then of bf16.
  @Test func unitsServeWhatTheyWereTunedFor() throws {
    let unit = MatrixUnit.nvidia(major: 8)
    let shape = MatmulUnits.candidates(unit)[0]
    let (plain, tuned) = (try context(unit: unit), try context(unit: unit, shape))
    for context in [plain, tuned] { context.selfChecks.trust(MatrixUnits.name(shape)) }
    #expect(try MatmulVariant.choose(nil, on: plain, precision: .bf16) == .localMemoryTiled)
    #expect(try MatmulVariant.choose(nil, on: tuned, precision: .fp32) == .localMemoryTiled)
    #expect(try MatmulVariant.choose(nil, on: tuned, precision: .fp16) == .localMemoryTiled)
    #expect(try MatmulVariant.choose(nil, on: tuned, precision: .bf16) == .matrixUnits)
    // What was tried in another process, and took it down, is not tried in this one.
    MatrixUnits.reject(on: tuned, fault: "crashed")
    #expect(try MatmulVariant.choose(nil, on: tuned, precision: .bf16) == .localMemoryTiled)
  }

  @Test func unitsAreKnownByChipAndDriver() {
    func unit(_ chip: String?, _ platform: String, _ extensions: Set<String> = []) -> MatrixUnit? {
      MatrixUnit(chip: chip, platform: platform, extensions: extensions)
    }
    #expect(unit("sm_75", "NVIDIA CUDA") == nil)
    #expect(unit("sm_80", "NVIDIA CUDA") == .nvidia(major: 8))
    #expect(unit("sm_120", "NVIDIA CUDA") == .nvidia(major: 12))
    #expect(unit("sm_80", "rusticl") == nil)
    #expect(unit("gfx1100", "AMD Accelerated Parallel Processing") == .amdWMMA(generation: 11))
    #expect(unit("gfx1201", "AMD Accelerated Parallel Processing") == .amdWMMA(generation: 12))
    #expect(unit("gfx942", "AMD Accelerated Parallel Processing") == .amdMFMA)
    #expect(unit("gfx1030", "AMD Accelerated Parallel Processing") == nil)
    #expect(unit("gfx1100", "rusticl") == nil)
    let matrix: Set = ["cl_intel_subgroup_matrix_multiply_accumulate"]
    #expect(unit("dg2", "Intel(R) OpenCL Graphics", matrix) == .intelDPAS(lanes: 8))
    #expect(unit("pvc", "Intel(R) OpenCL Graphics", matrix) == .intelDPAS(lanes: 16))
    #expect(unit("tgllp", "Intel(R) OpenCL Graphics") == nil)
    #expect(unit(nil, "Intel(R) OpenCL Graphics", matrix) == nil)
  }
}
