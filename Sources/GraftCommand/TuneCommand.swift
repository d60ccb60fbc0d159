import ArgumentParser
import Graft
import GraftOps
import GraftRuntime
import GraftSystem

struct TuneCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tune",
    abstract: "Measure and remember the best kernel variants and tile sizes.",
    usage: "graft tune [--backbone FILE|ARCHITECTURE] [OPTIONS]",
    discussion: """
      EXAMPLES
        graft tune
        graft tune --backbone dinov2_small.safetensors --image-size 112
        graft tune --time-limit 300
        graft tune --dry-run             measure and print, remember nothing

      Times matrix products and attention of one block, on random numbers, with
      the default and with other values in turn. What does not agree with the
      default is left out; what is not clearly faster is not taken. The winners
      are kept in a small JSON file for this device and driver, which all other
      verbs and apps then use; graft devices says which file. Delete it, or set
      GRAFT_TUNING=off, to go back to the defaults. Use a quiet machine.

      A GPU's matrix units are first tried in a process of their own, as graft
      doctor --probe does, and timed where that ends well.

      Some winners add up in another order, which changes the last bits of
      results: a training is resumed with the tuning that it began with.
      """)

  @Option(help: "A file of weights, or a timm architecture name.")
  var backbone: FilePath = "vit_base_patch16_224"
  @Option(help: "\(ImageSize.help).")
  var imageSize: ImageSize?
  @OptionGroup var facts: FactArguments
  @Option(help: "Images a batch.")
  var batchSize = 8
  @Option(help: "Seconds after which nothing new is begun.")
  var timeLimit = 60.0
  @Flag(help: "Measure and print; remember nothing.")
  var dryRun = false
  @OptionGroup var device: DeviceOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard (1...1024).contains(batchSize) else {
      throw ValidationError("--batch-size must be in 1...1024.")
    }
    guard timeLimit > 0, timeLimit <= 86_400 else {
      throw ValidationError("--time-limit must be more than 0 seconds, and at most a day (86400).")
    }
  }

  func run() async throws {
    let reporter = Reporter(isJSON: output.json)
    try await reporter.run {
      let shape = try facts.shape(of: backbone, imageSize: imageSize).shape
      let folder = try folderForResult()
      let obstacle = folder.flatMap(obstacle)
      if let obstacle { reporter.note("The result will be printed and not remembered: \(obstacle)") }
      let context = try device.context()
      reporter.say(
        """
        Tuning \(context.traits.name) for \(shape.architecture.name) at \(shape.imageSize) px, batch \(batchSize), in about \
        \(format(timeLimit, 0)) s
        """)
      StopSignal.install()
      MatrixUnitProbe.runApart(context, reporter)
      reporter.emit(
        "start",
        [
          "device": .string(context.traits.identity), "backbone": JSONValue(backbone),
          "image_size": JSONValue(shape.imageSize), "batch_size": .integer(batchSize),
          "time_limit": .number(timeLimit),
        ])
      let outcome = try measure(shape, on: context, reporter)
      if !outcome.findings.isEmpty { reporter.say(Message(lines: table(outcome.findings))) }
      for finding in outcome.findings {
        for trial in finding.trials {
          guard let reason = trial.rejection else { continue }
          reporter.say(
            "Left out: \(finding.operation), \(finding.parameter) \(trial.value): \(firstLine(reason))")
        }
      }
      if outcome.isCutShort {
        reporter.say("The time was up before everything was measured; --time-limit gives more.")
      }
      let file = TuningFile(outcome.tuning, for: context.traits)
      // Nothing measured is no reason to forget what was.
      let target =
        outcome.findings.isEmpty ? nil : folder.map { TuningFile.path(for: context.traits, in: $0) }
      if let target {
        if let obstacle { throw obstacle }
        try AtomicFile.write(file.text(), to: target)
        reporter.say("Remembered in \(target).")
      } else {
        reporter.say("Nothing was remembered\(dryRun ? "" : ": what was there is as it was").")
      }
      reporter.emit(
        "done",
        [
          "device": .string(file.device), "path": target.map { JSONValue($0) } ?? .null,
          "cut_short": .bool(outcome.isCutShort), "tuning": try JSONValue(encoding: outcome.tuning),
        ])
    }
  }

  /// The folder for the result; `nil` where none is wanted.
  private func folderForResult() throws -> FilePath? {
    guard !dryRun else { return nil }
    guard let folder = TuningFile.folder else {
      throw ValidationError("GRAFT_TUNING=off leaves nowhere to remember: unset it, or say --dry-run.")
    }
    return folder
  }

  /// What keeps the result from being remembered.
  ///
  /// The measurement is worth having all the same.
  private func obstacle(to folder: FilePath) -> CheckpointError? {
    do throws(CheckpointError) {
      try AtomicFile.requireWritable(folder: folder)
      return nil
    } catch {
      return error
    }
  }

  private func measure(
    _ shape: BackboneShape, on context: Context, _ reporter: Reporter
  ) throws -> Tuner.Outcome {
    let steps = TuningStep.all(for: shape, batchSize: batchSize)
    let tuner = Tuner(
      on: context, steps: steps, timeLimit: .seconds(timeLimit), shouldStop: { StopSignal.isWanted })
    defer { reporter.endProgress() }
    do {
      return try tuner.run { event in
        switch event {
        case .trying(let operation, let parameter, let value, let done, let total):
          reporter.progress("\(bar(done, of: total)) \(operation), \(parameter) \(value)")
        case .finding(let finding):
          reporter.emit("parameter", finding.fields)
        }
      }
    } catch is CancellationError {
      reporter.endProgress()
      reporter.note("Interrupted: what was remembered before is as it was.")
      reporter.emit("interrupted", [:])
      throw ExitCode(130)
    }
  }

  private func table(_ findings: [Tuner.Finding]) -> String {
    textTable(
      ["operation", "parameter", "default", "best", "default, ms", "best, ms", "ratio"],
      findings.map {
        [
          $0.operation, $0.parameter, $0.defaultValue, $0.value, format($0.defaultSeconds * 1e3, 2),
          format($0.seconds * 1e3, 2), format($0.seconds / $0.defaultSeconds, 2),
        ]
      }, numbers: [4, 5, 6])
  }

  private func firstLine(_ text: String) -> String { String(text.prefix { !$0.isNewline }) }
}

extension Tuner.Finding {
  fileprivate var fields: [String: JSONValue] {
    [
      "operation": .string(operation), "parameter": .string(parameter), "default": .string(defaultValue),
      "best": .string(value), "default_seconds": .number(defaultSeconds), "best_seconds": .number(seconds),
      "trials": .array(
        trials.map { trial in
          .object([
            "value": .string(trial.value), "ratio": trial.ratio.map { .number($0) } ?? .null,
            "rejection": trial.rejection.map { .string($0) } ?? .null,
          ])
        }),
    ]
  }
}
