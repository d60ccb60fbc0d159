import ArgumentParser
import Graft
import GraftCases
import GraftOps
import GraftRuntime

struct BenchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Time operations and models against the device's own measured peak.",
    usage: "graft bench [FILTER] [OPTIONS]",
    discussion: """
      EXAMPLES
        graft bench                      every operation
        graft bench matmul               operations whose name contains "matmul"
        graft bench peak                 the device's peak alone
        graft bench --backbone vit_base_patch16_224 --adapter alore
        graft bench --json > before.jsonl; graft bench --baseline before.jsonl

      Each operation is first compared with float64 on small shapes; one that
      is wrong is not timed. Times are wall clock from an idle queue to an idle
      queue, caches warm. The peak is a multiply-add loop in registers and a
      large copy, measured in the same run. With --backbone (a file, or a timm
      architecture name, which gets random weights) inference and training
      steps of whole models are timed instead, their frozen weights kept in
      --precision; operations say their own precision.
      """)

  @Argument(help: "Only operations whose description contains this.")
  var filter: String?
  @Option(help: "Time a whole model: a file of weights or a timm architecture name.")
  var backbone: FilePath?
  @Option(help: "Adapters for --backbone, separated by commas.")
  var adapter = "linear,ila,alore"
  @Option(help: "Images a batch, for --backbone.")
  var batchSize = 8
  @Option(help: "\(ImageSize.help), for --backbone.")
  var imageSize: ImageSize?
  @OptionGroup var facts: FactArguments
  @Flag(help: "Print the device time of each kernel of a training step, for --backbone.")
  var profile = false
  @Option(help: "What graft bench --json printed before: adds how many times as fast it is now.")
  var baseline: FilePath?
  @OptionGroup var memory: MemoryArguments
  @OptionGroup var precision: PrecisionOptions
  @OptionGroup var device: DeviceOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let reporter = Reporter(isJSON: output.json)
    try await reporter.run {
      guard batchSize > 0 else { throw ValidationError("--batch-size must be at least 1.") }
      let baseline = try baseline.map(BenchBaseline.init)
      let context = try device.context(precision.precision.value)
      if let then = baseline?.device, then != context.traits.name {
        reporter.note("The baseline was measured on \(then).")
      }
      let yardstick = try Yardstick(on: context, baseline)
      reporter.say(
        """
        \(context.traits.name): \(format(yardstick.gigaflops)) GFLOP/s multiply-add, \(format(yardstick.gigabytes)) GB/s copy \
        (measured)
        """)
      reporter.emit(
        "peak",
        [
          "device": .string(context.traits.name), "gflops": .number(yardstick.gigaflops),
          "gbytes_per_second": .number(yardstick.gigabytes),
        ])
      let failures: Int
      if let backbone {
        try benchmarkModels(backbone, yardstick, on: context, reporter)
        failures = 0
      } else {
        failures = try benchmarkOperations(yardstick, on: context, reporter)
      }
      reporter.emit("done", ["failures": .integer(failures)])
      if failures > 0 { throw ExitCode.failure }
    }
  }

  /// What measurements are set against.
  private struct Yardstick {
    let gigaflops: Double
    let gigabytes: Double
    let baseline: BenchBaseline?

    init(on context: Context, _ baseline: BenchBaseline?) throws {
      self.baseline = baseline
      gigaflops = try PeakMeasurement.fmaPeak(on: context)
      gigabytes = try PeakMeasurement.copyBandwidth(on: context)
    }

    /// Adds the comparison with the baseline to a measurement; returns it in words.
    func compare(_ fields: inout [String: JSONValue]) -> String {
      guard let speedUp = baseline?.speedUp(of: fields) else { return "" }
      fields["baseline_speed_up"] = .number(speedUp)
      return "  \(format(speedUp, 2)) x baseline"
    }
  }

  // MARK: Operations

  /// Returns the number of operations that were wrong.
  private func benchmarkOperations(_ yardstick: Yardstick, on context: Context, _ reporter: Reporter) throws
    -> Int
  {
    let chosen = AllCases.benchmarks(on: context.traits).filter {
      filter.map($0.description.contains) ?? true
    }
    if chosen.isEmpty, filter != "peak" {
      throw ValidationError("No operation's name contains \"\(filter ?? "")\".")
    }
    if !chosen.isEmpty {
      reporter.say(
        "\(pad("operation", 58)) pass      median      min      max    GFLOP/s  of peak     GB/s  of copy")
    }
    var verified: [String: Bool] = [:]
    var failures = 0
    for operation in chosen where Reporter.isHeard {
      let name = operation.operation
      if verified[name] == nil {
        verified[name] = try verify(name, on: context, reporter)
        if verified[name] == false { failures += 1 }
      }
      guard verified[name] == true else { continue }
      let (forward, training) = try operation.measure(on: context)
      show(operation, "forward", forward, operation.cost, yardstick, reporter)
      if let training { show(operation, "training", training, nil, yardstick, reporter) }
    }
    return failures
  }

  private func verify(_ name: String, on context: Context, _ reporter: Reporter) throws -> Bool {
    for check in AllCases.checks(on: context.traits) where check.operation == name {
      let failures = try check.verify(on: context)
      guard failures.isEmpty else {
        reporter.note("WRONG \(check): \(failures.joined(separator: "; ")). Not timed.")
        reporter.emit(
          "wrong", ["case": .string("\(check)"), "failures": .array(failures.map { .string($0) })])
        return false
      }
    }
    return true
  }

  private func show(
    _ operation: OperationCase, _ pass: String, _ timing: Timing, _ cost: OperationCase.Cost?,
    _ yardstick: Yardstick,
    _ reporter: Reporter
  ) {
    let gigaflops = cost.map { 2 * $0.macs / timing.median * 1e-9 } ?? 0
    let gigabytes = cost.map { $0.bytes / timing.median * 1e-9 } ?? 0
    func column(_ value: Double, _ text: String) -> String { value > 0 ? text : "" }
    var fields: [String: JSONValue] = [
      "case": .string("\(operation)"), "operation": .string(operation.operation), "pass": .string(pass),
      "median_seconds": .number(timing.median), "min_seconds": .number(timing.range.lowerBound),
      "max_seconds": .number(timing.range.upperBound), "samples": .integer(timing.samples),
    ]
    if cost != nil {
      fields["gflops"] = .number(gigaflops)
      fields["fraction_of_peak"] = .number(gigaflops / yardstick.gigaflops)
      fields["gbytes_per_second"] = .number(gigabytes)
      fields["fraction_of_copy"] = .number(gigabytes / yardstick.gigabytes)
    }
    let comparison = yardstick.compare(&fields)
    let line =
      pad("\(operation)", 58) + " " + pad(pass, 8) + right(microseconds(timing.median), 10)
      + right(microseconds(timing.range.lowerBound), 9) + right(microseconds(timing.range.upperBound), 9)
      + right(column(gigaflops, format(gigaflops)), 10)
      + right(column(gigaflops, format(100 * gigaflops / yardstick.gigaflops, 0) + " %"), 9)
      + right(column(gigabytes, format(gigabytes)), 9)
      + right(column(gigabytes, format(100 * gigabytes / yardstick.gigabytes, 0) + " %"), 9) + comparison
    reporter.say("\(line)")
    reporter.emit("operation", fields)
  }

  // MARK: Models

  private func benchmarkModels(
    _ backbone: FilePath, _ yardstick: Yardstick, on context: Context, _ reporter: Reporter
  )
    throws
  {
    let shape = try facts.shape(of: backbone, imageSize: imageSize).shape
    let vit =
      backbone.extension == "safetensors" || backbone.exists
      ? try Backbone(path: backbone, options: facts.options(imageSize: shape.imageSize), on: context)
      : try Backbone(randomly: shape.architecture, on: context)
    let size = shape.imageSize
    let batch = ImageBatch(
      count: batchSize, imageSize: size,
      pixels: (0..<batchSize * size.count * 3).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 7) },
      labels: (0..<Int32(batchSize)).map { $0 % 10 })
    for name in adapter.split(separator: ",").map(String.init) where Reporter.isHeard {
      let adapter = try AdapterCatalog.named(name)
      let model = try GraftedModel(vit, adapter: adapter, classes: (0..<10).map { "\($0)" })
      context.memory.resetPeak()
      let inference = try Timing(on: context, seconds: 3) { _ = try model.logits(batch) }
      report(name, "inference", inference, model.executedGMAC, shape, yardstick, context, reporter)
      let recipe = try TrainingRecipe.preset("quick", for: adapter)
      let trainer = try Trainer(model, recipe: recipe, recomputation: memory.recompute.value)
      context.memory.resetPeak()
      let step = { try trainer.stepInPlace(batch) }
      report(
        name, "training", try Timing(on: context, seconds: 5, step), nil, shape, yardstick, context, reporter)
      if profile { try show(profileOf: step, on: context, reporter) }
    }
  }

  private func report(
    _ name: String, _ pass: String, _ timing: Timing, _ gmac: Double?, _ shape: BackboneShape,
    _ yardstick: Yardstick, _ context: Context,
    _ reporter: Reporter
  ) {
    let speed = Double(batchSize) / timing.median
    let gigaflops = gmac.map { 2 * $0 * speed }
    var fields: [String: JSONValue] = [
      "backbone": backbone.map { JSONValue($0) } ?? "", "image_size": JSONValue(shape.imageSize),
      "adapter": .string(name), "pass": .string(pass), "batch_size": .integer(batchSize),
      "precision": .string(precision.precision.value.rawValue),
      "images_per_second": .number(speed), "median_seconds": .number(timing.median),
      "min_seconds": .number(timing.range.lowerBound), "max_seconds": .number(timing.range.upperBound),
      "peak_device_bytes": .integer(context.memory.peakBytes),
    ]
    if let gigaflops {
      fields["gflops"] = .number(gigaflops)
      fields["fraction_of_peak"] = .number(gigaflops / yardstick.gigaflops)
    }
    let comparison = yardstick.compare(&fields)
    let line =
      pad("\(name) \(pass), batch \(batchSize)", 34) + right(format(speed, 2), 9) + " images/s  "
      + "(\(format(Double(batchSize) / timing.range.upperBound, 2)) to "
      + "\(format(Double(batchSize) / timing.range.lowerBound, 2)))  "
      + (gigaflops.map { "\(format($0)) GFLOP/s, \(format(100 * $0 / yardstick.gigaflops, 0)) % of peak  " }
        ?? "")
      + "peak memory \(formatBytes(context.memory.peakBytes))" + comparison
    reporter.say("\(line)")
    reporter.emit("model", fields)
  }

  private func show(profileOf step: () throws -> Void, on context: Context, _ reporter: Reporter) throws {
    guard !context.traits.quirks.contains(.timesNoKernels) else {
      return reporter.note("This driver does not measure kernels: there is no profile.")
    }
    for entry in try context.profile(step) {
      let line =
        "    " + pad(entry.kernel, 36) + right("\(entry.launches)", 5)
        + right(microseconds(entry.seconds), 12)
      reporter.say("\(line)")
      reporter.emit(
        "kernel",
        [
          "kernel": .string(entry.kernel), "launches": .integer(entry.launches),
          "seconds": .number(entry.seconds),
        ])
    }
  }
}

private func pad(_ text: String, _ width: Int) -> String {
  text + String(repeating: " ", count: max(0, width - text.count))
}

private func right(_ text: String, _ width: Int) -> String {
  String(repeating: " ", count: max(0, width - text.count)) + text
}

private func microseconds(_ seconds: Double) -> String { format(seconds * 1e6, 0) + " us" }
