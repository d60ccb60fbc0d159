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

  /// A developer's measurement: `GRAFT_MEASURE=1 swift test --filter PeakTests`.
  @Test(.enabled(if: ProcessInfo.processInfo.environment["GRAFT_MEASURE"] != nil))
  func fractionsOfPeak() throws {
    let context = try Context(Device.select())
    print("copy \(try PeakMeasurement.copyBandwidth(on: context)) GB/s")
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
        let runs = rows > 8000 ? 3 : 10
        // Peak and product in turn, so that both see the same machine.
        var best = 0.0
        var peak = 0.0
        for _ in 0..<3 {
          peak = max(peak, try PeakMeasurement.fmaPeak(on: context, runs: 2))
          let seconds = try PeakMeasurement.bestTime(of: runs, on: context) {
            _ = try Tape().linear(x, layer)
          }
          best = max(best, 2e-9 * Double(rows * outputs * inputs) / seconds)
        }
        print(
          "\(rows)x\(outputs)x\(inputs): \(Int(best)) of \(Int(peak)) GFLOP/s, \(Int(100 * best / peak)) %")
      }
    }
  }
}
