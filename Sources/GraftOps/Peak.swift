public import GraftRuntime

/// What a device can do at best, measured: the scale for every fraction of peak that Graft reports.
public enum PeakMeasurement {
  /// Multiply-adds in registers on all compute units, in GFLOP/s; a multiply-add counts as two.
  ///
  /// - Parameters:
  ///   - context: the device.
  ///   - runs: the best of at least so many; runs go on for half a second, longer than a neighbour keeps a core busy.
  /// - Throws: `RuntimeError` when the device fails.
  public static func fmaPeak(on context: Context, runs: Int = 5) throws -> Double {
    var operations = 0.0
    let seconds = try bestTime(of: runs, lasting: .milliseconds(500), on: context) {
      operations = try queueFMALoop(on: context)
    }
    return operations / seconds * 1e-9
  }

  /// Queues the loop of ``fmaPeak(on:runs:)`` once.
  ///
  /// - Returns: its floating-point operations.
  package static func queueFMALoop(on context: Context) throws -> Double {
    let isCPU = context.traits.isCPU
    // A CPU's registers: 32 of 16 floats, or 16 of 8.
    let isNarrow = isCPU && !context.traits.hasWideRegisters
    let (width, chains) = isCPU ? (isNarrow ? 8 : 16, isNarrow ? 12 : 24) : (1, 24)
    // PoCL hands out groups by the dozen: few groups would all run on one core, and the peak would be a core's; on
    // a GPU enough items to fill every unit several times.
    let group = isCPU ? 1 : min(256, context.traits.maxWorkGroupSize)
    let items = context.traits.computeUnits * (isCPU ? 256 : 8 * group)
    let iterations = isCPU ? 8_000 : 4_000
    let sink = try Tensor(empty: [items], on: context)
    try context.run(
      KernelKey("benchmark", "fma_peak", ["WIDE": width, "CHAINS": chains]), over: [items], group: [group],
      sink.buffer,
      Float(0.999),
      Float(0.001), iterations)
    return 2 * Double(chains) * Double(width) * Double(iterations) * Double(items)
  }

  /// A copy between two arrays far larger than caches, in GB/s; bytes read and bytes written both count.
  ///
  /// - Parameters:
  ///   - context: the device.
  ///   - runs: the best of so many.
  /// - Throws: `RuntimeError` when the device fails.
  public static func copyBandwidth(on context: Context, runs: Int = 5) throws -> Double {
    let bytes = min(256 << 20, context.traits.maxAllocation / 4, context.memory.limit / 8) / 65536 * 65536
    let count = bytes / 4
    let source = try Tensor.zeros([count], on: context)
    let target = try Tensor.zeros([count], on: context)
    let plan = ElementwisePlan(count: count, on: context)
    let kernel = KernelKey("benchmark", "copy_bandwidth", macros: plan.macros)
    let seconds = try bestTime(of: runs, on: context) {
      try context.run(
        kernel, over: [plan.items], group: [plan.group], source.buffer, target.buffer, count, plan.perGroup)
    }
    return 2 * Double(bytes) / seconds * 1e-9
  }

  /// The shortest wall-clock time from queueing `work` to its end, in seconds, after one run to warm up.
  ///
  /// - Parameters:
  ///   - runs: how many at least.
  ///   - duration: of all of them at least.
  package static func bestTime(
    of runs: Int, lasting duration: Duration = .zero, on context: Context, _ work: () throws -> Void
  ) throws -> Double {
    try work()
    try context.finish()
    let clock = ContinuousClock()
    var best = Duration.seconds(1_000_000)
    let start = clock.now
    var done = 0
    while done < runs || clock.now - start < duration {
      done += 1
      let time = try clock.measure {
        try work()
        try context.finish()
      }
      best = min(best, time)
    }
    let parts = best.components
    return Double(parts.seconds) + Double(parts.attoseconds) * 1e-18
  }
}
