import Foundation
import GraftOps
import GraftRuntime
import Testing

@Suite(.serialized) struct PeakTests {
  @Test func peaksArePlausible() throws {
    let context = try TestDevice.context.get()
    let peak = try PeakMeasurement.fmaPeak(on: context, runs: 1)
    #expect(peak > 0.1 && peak < 1e6)
  }

  /// A loop of 100,000 additions, which a driver may leave before its end only if its quirks say so.
  @Test(.enabled(if: Runtime.runsKernels, Runtime.runsKernelsReason)) func longLoopsComeToTheirEnd() throws {
    let context = try TestDevice.context.get()
    let sum = try Tensor(empty: [1], on: context)
    try context.run(
      KernelKey("benchmark", "fma_peak", ["WIDE": 1, "CHAINS": 12]), over: [1], group: [1], sum.buffer,
      Float(1),
      Float(1), 100_000)
    // Twelve chains, from 0 to 11 on: whole numbers that a float holds exactly.
    let isWhole = try sum.floats() == [12 * 100_000 + 66]
    #expect(isWhole != context.traits.quirks.contains(.endsLongLoops))
  }

  /// A developer's measurement: `GRAFT_MEASURE=1 swift test --filter PeakTests`.
  ///
  /// Operations per second of processor time, not of the clock's: that stays true on a CPU device when other processes
  /// share its cores.
  @Test(
    .enabled(
      if: ProcessInfo.processInfo.environment["GRAFT_MEASURE"] != nil, "set GRAFT_MEASURE on an idle machine")
  )
  func fractionsOfPeak() throws {
    let context = try Context(Device.select())
    print("copy \(Int(try PeakMeasurement.copyBandwidth(on: context))) GB/s")
    let shapes = [
      (768, 768), (2304, 768), (3072, 768), (768, 3072), (384, 384), (1152, 384), (1536, 384), (384, 1536),
      (1024, 1024), (1024, 4096),
    ]
    for rows in [1584, 197, 257 * 32] {
      for (outputs, inputs) in shapes {
        let layer = try PreparedLinear(
          weight: [Float](repeating: 0.01, count: outputs * inputs), bias: nil, outputs: outputs,
          inputs: inputs,
          on: context)
        let x = try Tensor([Float](repeating: 0.5, count: rows * inputs), shape: [rows, inputs], on: context)
        let operations = 2 * Double(rows * outputs * inputs)
        let repeats = max(1, Int(4e9 / operations))
        let ratios = try fractions(on: context) {
          for _ in 0..<repeats { _ = try Tape().linear(x, layer) }
          return operations * Double(repeats)
        }
        print(
          "\(rows)x\(outputs)x\(inputs): median \(ratios[ratios.count / 2]) %, best \(ratios.last ?? 0) %")
      }
    }
    for (rows, outputs, inputs) in [(1576, 8, 768), (1576, 768, 8), (1568, 8, 8), (32, 1000, 768)] {
      let arena = try ParameterArena(
        [
          ("x", [rows, inputs], [Float](repeating: 0.5, count: rows * inputs)),
          ("w", [outputs, inputs], [Float](repeating: 0.5, count: outputs * inputs)),
          ("b", [outputs], [Float](repeating: 0.5, count: outputs)),
        ], on: context)
      let (x, w, b) = (arena.parameters[0].value, arena.parameters[1].value, arena.parameters[2].value)
      let seed = try Tensor(
        [Float](repeating: 1, count: rows * outputs), shape: [rows, outputs], on: context)
      let forward = try time(on: context) { _ = try Tape().linear(x, weight: w, bias: b) }
      let training = try time(on: context) {
        let tape = Tape(.training(seed: 1))
        try tape.backward(from: tape.linear(x, weight: w, bias: b), seed: seed)
      }
      print("trainable \(rows)x\(outputs)x\(inputs): forward \(forward) us, with backward \(training) us")
    }
  }

  /// Percentages of the multiply-add peak that `work` reaches, each against a measurement of the peak beside it.
  private func fractions(on context: Context, _ work: () throws -> Double) throws -> [Int] {
    func rate(_ work: () throws -> Double) throws -> Double {
      let start = clock()
      let operations = try work()
      try context.finish()
      return operations / Double(clock() - start)
    }
    _ = try rate(work)
    return try (0..<5).map { _ in
      let peak = try rate { try PeakMeasurement.queueFMALoop(on: context) }
      return Int(100 * (try rate(work)) / peak)
    }.sorted()
  }

  /// Least microseconds on the clock of one run among many.
  private func time(on context: Context, _ work: () throws -> Void) throws -> Int {
    Int(1e6 * (try PeakMeasurement.bestTime(of: 40, on: context, work)))
  }
}
