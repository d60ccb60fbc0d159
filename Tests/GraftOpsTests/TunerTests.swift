import GraftCases
import Testing

@testable import GraftOps
@testable import GraftRuntime

/// Tuned parameters reach the kernels, leave results right, and are chosen for good reason.
@Suite(.serialized) struct TunerTests {
  private func changed(_ context: Context, _ change: (inout Tuning) -> Void) -> Context {
    var tuning = context.tuning
    change(&tuning)
    return context.tuned(tuning)
  }

  // MARK: The same results

  private func product(_ context: Context, rows: Int, variant: MatmulVariant) throws -> [Float] {
    var weight: [Float] = []
    for index in 0..<77 * 50 { weight.append(Float((index * 37) % 101) / 101 - 0.5) }
    let layer = try PreparedLinear(
      weight: weight, bias: nil, outputs: 77, inputs: 50, on: context, variant: variant)
    let x = try Tensor(Array(weight.prefix(rows * 50)), shape: [rows, 50], on: context)
    return try Tape().linear(x, layer).floats()
  }

  /// Each sum is one chain in the order of k, whatever the tile.
  @Test(.enabled(if: Runtime.compilesRegisterTiles, Runtime.registerTilesReason), arguments: [16, 32])
  func registerTilesAgreeToTheLastBit(_ panel: Int) throws {
    let context = try TestDevice.context.get()
    for rows in [31, 3] {
      let expected = try product(context, rows: rows, variant: .cpuRegisterTiled)
      for tile in 1...14 {
        let tuned = changed(context) { ($0.matmul.rows, $0.matmul.panel) = (tile, panel) }
        #expect(try product(tuned, rows: rows, variant: .cpuRegisterTiled) == expected, "\(tile) x \(panel)")
      }
      let blocks = changed(context) { $0.matmul.blockBytes = 1 << 12 }
      #expect(try product(blocks, rows: rows, variant: .cpuRegisterTiled) == expected)
    }
  }

  /// The steps of a small model, on a CPU and on the same device as if it were a GPU.
  private static let steps = TuningStep.all(
    layers: [(outputs: 48, inputs: 64)], batch: 1, tokens: 65, heads: 2, headSize: 16)

  private static func device(_ kind: DeviceTraits.Kind) throws -> Context {
    let device = try Device.select().changing { ($0.kind, $0.computeUnits) = (kind, 2) }
    return try Context(device, checksMemory: true)
  }

  @Test(
    .enabled(if: Runtime.compilesRegisterTiles, Runtime.registerTilesReason),
    arguments: [DeviceTraits.Kind.cpu, .gpu])
  func attentionAgreesWithFloat64WhateverTheTile(_ kind: DeviceTraits.Kind) throws {
    let context = try Self.device(kind)
    let check = try #require(
      AttentionCases.checks.first { "\($0)".hasSuffix(kind == .cpu ? "65x16 cpu" : "65x16 tiles") })
    let workload = TuningWorkload.attention(.both, batch: 1, tokens: 65, heads: 2, headSize: 16)
    func run(_ tuning: Tuning) throws -> (results: [[Float]], launches: [Launch]) {
      let watched = context.tuned(tuning, isWatched: true)
      return (try workload.prepare(watched)().map { try $0.floats() }, try #require(watched.log).launches)
    }
    let standard = Tuning.default(for: context.traits)
    let expected = try run(standard)
    var seen: Set = [expected.launches]
    for step in Self.steps where step.workload.name.hasPrefix("attention") {
      for tuning in step.candidates(standard, context.traits) where tuning.fault(on: context.traits) == nil {
        let (results, launches) = try run(tuning)
        guard seen.insert(launches).inserted else { continue }
        if tuning.arithmetic(on: context.traits) == nil {
          #expect(results == expected.results, "\(tuning)")
        } else {
          #expect(try check.verify(on: context.tuned(tuning)) == [], "\(tuning)")
        }
      }
    }
    #expect(seen.count > 9, "candidates differ in what they launch")
  }

  // MARK: Parameters are used

  private static let uses:
    [(kind: DeviceTraits.Kind, name: String, change: @Sendable (inout Tuning) -> Void)] =
      [
        (.cpu, "rows", { $0.matmul.rows = 3 }), (.cpu, "panel", { $0.matmul.panel = 48 - $0.matmul.panel }),
        (.cpu, "block bytes", { $0.matmul.blockBytes = 1 << 12 }),
        (.cpu, "variant", { $0.matmul.variant = .localMemoryTiled }),
        (.gpu, "variant", { $0.matmul.variant = .cpuRegisterTiled }),
        (.gpu, "tile of few rows", { $0.matmul.few.depth = 4 }),
        (.gpu, "kernel", { $0.matmul.kernel = .lanes }),
        (.cpu, "vectors", { $0.attention.vectors = 3 }),
        (.cpu, "forward keys", { $0.attention.forwardKeys = 16 }),
        (.cpu, "backward keys", { $0.attention.backwardKeys = 16 }),
        (.cpu, "items per core", { $0.attention.itemsPerCore = 1 }),
        (.gpu, "attention's tiles", { $0.attention.tiles = AttentionTiles(AttentionTile(rows: 16)) }),
      ]

  /// What a product and attention launch under a tuning.
  private func launches(_ context: Context, _ change: (inout Tuning) -> Void = { _ in }) throws -> [Launch] {
    var tuning = Tuning.default(for: context.traits)
    change(&tuning)
    let watched = context.tuned(tuning, isWatched: true)
    let workloads = [
      TuningWorkload.products(rows: 70, layers: [(outputs: 96, inputs: 40)]),
      .attention(.both, batch: 1, tokens: 200, heads: 1, headSize: 16),
    ]
    for workload in workloads { _ = try workload.prepare(watched)() }
    return try #require(watched.log).launches
  }

  /// Those of a CPU where one can be had.
  @Test func everyParameterChangesWhatIsLaunched() throws {
    for (kind, name, change) in Self.uses where kind != .cpu || Runtime.compilesRegisterTiles {
      let context = try Self.device(kind)
      #expect(try launches(context) != launches(context, change), "\(kind) \(name)")
      #expect(try launches(context, change) == launches(context, change), "\(kind) \(name)")
    }
  }

  @Test func sixteenBitsGoWithoutATunedLibrary() throws {
    guard MatmulVariant.clblast.isAvailable else { return }
    let context = changed(try Self.device(.gpu)) { $0.matmul.variant = .clblast }
    let weight = [Float](repeating: 1, count: 12)
    func variant(_ precision: StoragePrecision) throws -> MatmulVariant {
      try PreparedLinear(
        weight: weight, bias: nil, outputs: 4, inputs: 3, on: context, precision: precision, variant: nil
      ).variant
    }
    #expect(try variant(.fp32) == .clblast && variant(.bf16) == .localMemoryTiled)
  }

  // MARK: Choice

  /// A parameter whose values differ in their work, by design: 1 does a twentieth of it, 2 gives another result, 3 does
  /// not build, 4 writes behind its buffer, 5 does thrice the work, 6 the same.
  private static func step(default standard: Int) -> TuningStep {
    let workload = TuningWorkload("work", terms: 1) { context in
      let rows = context.tuning.matmul.rows
      let sink = try Tensor(empty: [320], on: context)
      let zeros = try Tensor.zeros([321], on: context)
      let result = try Tensor([1, rows == 2 ? 2 : 4], shape: [2], on: context)
      return {
        // llvmpipe leaves a loop after 65,535 iterations.
        let iterations = [1: 1_000, 5: 60_000][rows] ?? 20_000
        let macros: KeyValuePairs<String, Any> = rows == 3 ? ["fma_peak": 7] : ["WIDE": 1, "CHAINS": 24]
        try context.run(
          KernelKey("benchmark", "fma_peak", macros), over: [320], group: [1], sink.buffer, Float(0.999),
          Float(0.001), iterations)
        if rows == 4 {
          try context.run(
            .init("elementwise", "add"), over: [1], group: [1], zeros.buffer, zeros.buffer, sink.buffer, 321,
            321)
        }
        return [result]
      }
    }
    return TuningStep("rows", workload) {
      "\($0.matmul.rows)"
    } candidates: { tuning, _ in
      [2, 3, 4, 5, 6, 1].map {
        var tuning = tuning
        tuning.matmul.rows = $0
        return tuning
      }
    }
  }

  @Test func onlyWhatIsRightAndFasterWins() throws {
    let context = try TestDevice.context.get()
    let standard = Tuning.default(for: context.traits)
    var events = 0
    let outcome = try Tuner(
      on: context, steps: [Self.step(default: standard.matmul.rows)], timeLimit: .seconds(120)
    ).run { event in
      if case .trying(_, _, _, let done, let total) = event { events += done < total ? 1 : 100 }
    }
    let finding = try #require(outcome.findings.first)
    let trials = Dictionary(uniqueKeysWithValues: finding.trials.map { ($0.value, $0) })
    #expect(trials["2"]?.rejection?.contains("instead of 4") == true)
    #expect(trials["3"]?.rejection?.contains("did not compile") == true)
    #expect(trials["4"]?.rejection?.contains("behind the end") == true)
    #expect(try #require(trials["5"]?.ratio) > 1 && trials["5"]?.rejection == nil)
    // It launches what the default does: there is nothing to measure.
    #expect(trials["6"] == nil)
    #expect(try #require(trials["1"]?.ratio) < 0.5)
    #expect(finding.value == "1" && outcome.tuning.matmul.rows == 1 && !outcome.isCutShort)
    #expect(finding.defaultValue == "\(standard.matmul.rows)" && finding.seconds < finding.defaultSeconds)
    #expect(events == (standard.matmul.rows == 6 ? 5 : 6))
  }

  @Test func noTimeLeavesTheDefault() throws {
    let context = try TestDevice.context.get()
    let outcome = try Tuner(on: context, steps: Self.steps, timeLimit: .zero).run()
    #expect(outcome.isCutShort && outcome.findings.isEmpty)
    #expect(outcome.tuning == .default(for: context.traits))
  }

  @Test func stopsWhenAsked() throws {
    let tuner = Tuner(
      on: try TestDevice.context.get(), steps: Self.steps, timeLimit: .seconds(60), shouldStop: { true })
    #expect(throws: CancellationError.self) { try tuner.run() }
  }

  @Test func noiseIsNoWin() {
    func duel(_ ratios: [Double]) -> Tuner.Duel {
      var duel = Tuner.Duel()
      duel.champions = ratios.map { _ in 1 }
      duel.challengers = ratios
      return duel
    }
    #expect(duel([0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 1.2]).isWon)
    #expect(duel([0.9, 0.9, 0.9, 0.9, 0.9]).isWon)
    // Too little, too seldom, too few.
    #expect(!duel([Double](repeating: 0.98, count: 9)).isWon)
    #expect(!duel([0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 1.1, 1.1]).isWon)
    #expect(!duel([0.9, 0.9, 0.9, 0.9, 1.2]).isWon)
    #expect(!duel([0.9, 0.9, 0.9, 0.9]).isWon && !duel([]).isWon)
    // Slow moments of the champion alone.
    var lucky = duel([Double](repeating: 0.99, count: 9))
    lucky.champions = [1, 2, 2, 2, 2, 2, 2, 2, 2]
    #expect(!lucky.isWon)
    #expect(duel([1.1, 1.1]).isLost && duel([3.5]).isLost && !duel([0.9, 1.1]).isLost)
  }
}
