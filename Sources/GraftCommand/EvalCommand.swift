import ArgumentParser
import Graft
import GraftData
import GraftRuntime
import GraftSystem

struct EvalCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "eval", abstract: "Measure a trained model on labelled images.",
    usage: "graft eval --model DIR|FILE --data DIR [OPTIONS]",
    discussion: """
      EXAMPLES
        graft eval --model runs/alore --data flowers
        graft eval --model merged.safetensors --data flowers --json
        graft eval --model runs/dyn --data flowers --budget 0.8 --save
        graft eval --model runs/dyn --data flowers --thresholds 0.9,0.8,0.7

      DATA is a folder with val/CLASS/ images, or with CLASS/ images itself.

      A model with early exits (dyn) can stop at the first exit that is sure.
      --budget finds the thresholds for a mean cost on the images of --calibrate,
      or on one half of DATA's and reports on the other half; --save keeps them
      with the model, for this verb and for graft predict. With kept thresholds
      the half that they come from stays out of the report. Thresholds above 1
      switch the exits off.
      """)

  @Option(help: "A folder that graft train wrote, or a file that graft merge wrote.")
  var model: FilePath
  @Option(help: "Folder of images.")
  var data: FilePath
  @OptionGroup var backbone: ModelArguments
  @Option(help: "Images at a time.")
  var batchSize = 32
  @Option(help: "Least confidence to leave at each early exit, separated by commas; or one for all.")
  var thresholds: String?
  @Option(help: "Mean GMAC an image that the early exits may cost; finds the thresholds.")
  var budget: Double?
  @Option(help: "Folder of CLASS/ images for --budget, in place of one half of DATA's.")
  var calibrate: FilePath?
  @Flag(help: "Keep the thresholds of --budget in the model's folder.")
  var save = false
  @Flag(help: "Leave out images that cannot be decoded instead of stopping.")
  var skipBroken = false
  @OptionGroup var decoding: DecodingArguments
  @OptionGroup var precision: PrecisionOptions
  @OptionGroup var device: DeviceOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let reporter = Reporter(isJSON: output.json, offersSkipping: !skipBroken)
    try await reporter.run {
      guard batchSize > 0 else { throw ValidationError("--batch-size must be at least 1.") }
      guard thresholds == nil || budget == nil else {
        throw ValidationError("Give --thresholds or --budget, not both.")
      }
      guard budget != nil || !save && calibrate == nil else {
        throw ValidationError("--save and --calibrate go with --budget.")
      }
      let numbers = try thresholds.map(numbers)
      let context = try device.context(precision.precision.value)
      let path = model
      let (model, transform) = try backbone.load(
        model, batchSize: batchSize, on: context, reporter)
      let chosen = try numbers.map(model.exitThresholds)
      if let budget { try model.checkExitBudget(budget) }
      let hasParts = (data / "val").exists
      var images = try imageFolder(
        hasParts ? data / "val" : data, transform: transform, skipsBroken: skipBroken,
        options: decoding.options, reporter: reporter)
      func progress(_ images: ImageFolder, _ what: String) -> (Int) -> Void {
        { reporter.progress("\(bar($0, of: images.count)) \(what)\($0)/\(images.count)") }
      }
      if let budget {
        let held: ImageFolder
        if let calibrate {
          held = try imageFolder(
            calibrate, transform: transform, skipsBroken: skipBroken, options: decoding.options,
            reporter: reporter)
        } else {
          (held, images) = try images.halves()
        }
        model.calibration = try await model.calibrate(
          on: held, budget: budget, named: calibrate.map { printable($0) } ?? name(ofHalf: images),
          batchSize: batchSize,
          progress: progress(held, "calibrating "))
        reporter.endProgress()
        if budget >= model.summary.gmac {
          reporter.note("The budget covers all blocks: nothing leaves early.")
        }
        if save { try model.save(to: path, transform: JSONValue(encoding: transform)) }
      } else if chosen == nil, let calibration = model.calibration, calibration.source == name(ofHalf: images)
      {
        // What the thresholds were found on is not reported on.
        images = try images.halves().second
      }
      let result = try await model.evaluate(
        images, batchSize: batchSize, thresholds: chosen, progress: progress(images, ""))
      reporter.endProgress()
      reporter.say(
        """
        top-1 \(format(100 * result.top1)) % of \(result.count) images, loss \(format(result.loss, 3)), \
        \(format(result.imagesPerSecond)) images/s, peak device memory \(formatBytes(context.memory.peakBytes))
        """)
      let used = chosen ?? model.calibration?.thresholds
      if let used { show(result, used, of: model, reporter) }
      var fields = try JSONValue(encoding: result).objectValue ?? [:]
      fields["method"] = .string(model.adapter.name)
      fields["gmac"] = .number(model.summary.gmac)
      fields["peak_device_bytes"] = .integer(context.memory.peakBytes)
      if let used { fields["thresholds"] = .array(used.map { .number($0) }) }
      if let budget { fields["budget_gmac"] = .number(budget) }
      reporter.emit("done", fields)
    }
  }

  private func show(
    _ result: Evaluation, _ thresholds: [Double], of model: GraftedModel, _ reporter: Reporter
  ) {
    for (index, exit) in result.exits.enumerated() {
      let share = Double(exit.count) / Double(max(result.count, 1))
      let accuracy: Message =
        exit.count == 0 ? "" : ", top-1 \(format(100 * Double(exit.correct) / Double(exit.count))) %"
      reporter.say(
        "  after block \(exit.blocks), \(format(exit.gmac, 3)) GMAC: \(format(100 * share)) % of the images"
          + accuracy
          + (index < thresholds.count ? ", from confidence \(format(thresholds[index], 4)) on" : ""))
    }
    reporter.say(
      "  mean \(format(result.meanGMAC, 3)) GMAC an image, \(format(100 * result.meanGMAC / model.summary.gmac)) % of all blocks"
    )
    if let calibration = model.calibration, calibration.thresholds == thresholds {
      reporter.say("  thresholds found on \(calibration.images) images of \(calibration.source)")
    }
  }

  /// What the half of a folder is called that thresholds are found on.
  private func name(ofHalf images: ImageFolder) -> String {
    "one half of \((images.directory.resolved ?? images.directory).escapedText)"
  }

  private func numbers(_ text: String) throws -> [Double] {
    try text.split(separator: ",", omittingEmptySubsequences: false).map {
      guard let number = Double(String($0).trimmed) else {
        throw ValidationError("--thresholds \(text): write numbers separated by commas, such as 0.9,0.8,0.7.")
      }
      return number
    }
  }
}
