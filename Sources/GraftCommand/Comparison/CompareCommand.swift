import ArgumentParser
import Graft
import GraftRuntime
import GraftSystem

struct CompareCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare", abstract: "Train several adapters over several seeds and put them on one table.",
    usage: "graft compare --backbone FILE --data DIR --adapters LIST --out DIR",
    discussion: """
      EXAMPLES
        graft compare --backbone dinov2_small.safetensors --data flowers \\
            --adapters linear,ila,alore --out runs/flowers
        graft compare --backbone dinov2_small.safetensors --data flowers \\
            --adapters all,alore:rank=8,scale=0.5 --preset quick --seeds 1,2,3 \\
            --out runs/flowers

      LIST is NAME or NAME:key=value,key=value, separated by commas, or all. A
      value that holds commas stands in brackets: ila:locations=[2,5].

      Each adapter trains with its paper's preset, unless --preset gives one to
      all. Everything is checked before the first run begins. OUT receives
      results.jsonl, report.html, report.md and a folder for each run. Ctrl-C
      finishes the step, saves and ends with status 130; the same command goes
      on from there and leaves out what is finished. A run that fails leaves
      the others alone; the verb then ends with status 70.

      \(RecipeArguments.presets)
      """)

  @OptionGroup var backbone: BackboneArguments
  @OptionGroup var data: DataArguments
  @Option(
    help: ArgumentHelp(
      "What to compare: \(AdapterCatalog.names.joined(separator: ", ")), or all.", valueName: "list"))
  var adapters: String
  @Option(help: "Folder for the results.")
  var out: FilePath
  @Option(
    help: ArgumentHelp(
      "Seeds, separated by commas; each adapter is trained once with each.", valueName: "list"))
  var seeds = "1,2,3"
  @Option(
    help: "\(TrainingRecipe.presetNames.joined(separator: ", ")). Default: that of each adapter's paper.")
  var preset: String?
  @OptionGroup var changes: RecipeArguments
  @Option(help: "Passes from one evaluation to the next. Default: only the last is evaluated.")
  var evaluateEvery: Int?
  @OptionGroup var device: DeviceOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let reporter = Reporter(isJSON: output.json, offersSkipping: !data.skipBroken)
    try await reporter.run { try await compare(reporter) }
  }

  private func compare(_ reporter: Reporter) async throws {
    let runs = try plan(reporter)
    var file = try ResultsFile(folder: out)
    let waiting = try runs.enumerated().filter { try file.finished($0.element) == nil }
    for (_, run) in waiting {
      try Trainer.checkCheckpoint(
        in: folder(run), adapter: run.adapter, recipe: run.recipe, seed: UInt64(run.seed))
    }
    try AtomicFile.requireWritable(folder: out)
    let context = try device.context()
    reporter.say(
      "\(runs.count) runs on \(context.traits.name), \(runs.count - waiting.count) of them finished already.")
    for line in try assumptions(runs) { reporter.say("\(line)") }

    StopSignal.install()
    var progress = ComparisonProgress(
      runs: runs.count, work: waiting.reduce(0) { $0 + $1.element.work }, reporter)
    var failures: [String] = []
    var shared: (options: BackboneOptions, backbone: Backbone)?
    for (index, run) in waiting {
      guard !StopSignal.isWanted else { throw interrupted(file, reporter) }
      // Runs that prepare the backbone alike share it; only one is in memory at a time.
      if shared?.options != run.options {
        shared = nil
        shared = (
          run.options, try Backbone(path: backbone.backbone, options: run.options, on: context)
        )
      }
      guard let backbone = shared?.backbone else { continue }
      progress.begin(run, index: index + 1)
      do {
        let result = try await train(run, on: backbone, &progress)
        reporter.endProgress()
        guard let result else { throw interrupted(file, reporter) }
        try file.append(result)
        try ComparisonReport(file.results).write(to: out)
        reporter.say(
          """
            top-1 \(format(100 * result.top1)) %, training \(result.trainImagesPerSecond.map { format($0) } ?? "?") \
          images/s, inference \(format(result.inferenceImagesPerSecond)) images/s, peak device memory \
          \(formatBytes(result.peakDeviceBytes))
          """)
        reporter.emit("result", try JSONValue(encoding: result).objectValue ?? [:])
      } catch let error as GraftError where error.concernsOneRun {
        reporter.endProgress()
        failures.append("\(run.label), seed \(run.seed)")
        reporter.note("Failed: \(run.label), seed \(run.seed): \(error)")
        reporter.emit(
          "failed",
          ["method": .string(run.label), "seed": .integer(run.seed), "message": .string("\(error)")])
      }
      progress.end()
    }

    if !file.results.isEmpty {
      let report = try ComparisonReport(file.results)
      try report.write(to: out)
      reporter.say(Message(lines: "\n" + report.text))
      reporter.say("Report: \(out / ComparisonReport.pageName)")
    }
    reporter.emit(
      "done",
      [
        "runs": .integer(runs.count), "skipped": .integer(runs.count - waiting.count),
        "failed": .integer(failures.count), "out": JSONValue(out),
        "report": JSONValue(out / ComparisonReport.pageName),
      ])
    if !failures.isEmpty {
      reporter.note("Failed: \(failures.joined(separator: "; ")). The same command tries them again.")
      throw ExitCode(EX_SOFTWARE)
    }
  }

  /// All runs, adapter by adapter; whatever can be wrong before training is found here.
  private func plan(_ reporter: Reporter) throws -> [ComparisonRun] {
    let seeds = try parsedSeeds()
    let list = try AdapterList(adapters)
    guard evaluateEvery.map({ $0 > 0 }) ?? true else {
      throw ValidationError("--evaluate-every must be at least 1.")
    }
    let hash = try TensorFiles.open(backbone.backbone).contentHash
    let kept = try data.keptPictures()
    var folders: [TrainingRecipe.Augmentation: DataArguments.Folders] = [:]
    return try list.entries.flatMap { entry in
      let recipe = try changes.recipe(preset ?? entry.adapter.presetName, for: entry.adapter)
      let (options, shape) = try backbone.prepared(for: recipe)
      let images =
        try folders[recipe.augmentation]
        ?? data.folders(recipe, imageSize: shape.imageSize, keeping: kept, reporter)
      folders[recipe.augmentation] = images
      let summary = try ModelSummary(
        shape, adapter: entry.adapter, classes: images.training.classNames.count)
      return seeds.map { seed in
        ComparisonRun(
          task: data.taskName, label: entry.label, adapter: entry.adapter, seed: seed, recipe: recipe,
          options: options, summary: summary, merges: entry.adapter.isMergeable(on: shape),
          training: images.training, validation: images.validation,
          conditions: .init(
            backbone: shape.architecture.name, backboneHash: hash, imageSize: shape.imageSize,
            classes: images.training.classNames.count, trainingImages: images.training.count,
            validationImages: images.validation.count,
            imagesHash: images.training.fingerprint + images.validation.fingerprint))
      }
    }
  }

  /// What is assumed about the backbone, once for all runs that prepare it alike.
  private func assumptions(_ runs: [ComparisonRun]) throws -> [String] {
    var lines: [String] = []
    for options in Set(runs.map(\.options)) {
      let reading = try BackboneCatalog.read(backbone.backbone, options: options)
      lines += reading.remarks.filter { !lines.contains($0) }
    }
    return lines.sorted()
  }

  private func parsedSeeds() throws -> [Int] {
    let parsed = seeds.split(separator: ",").map { Int(String($0).trimmed) ?? -1 }
    guard !parsed.isEmpty, parsed.allSatisfy({ $0 >= 0 }), Set(parsed).count == parsed.count else {
      throw ValidationError("--seeds \(seeds): write different whole numbers from 0, such as 1,2,3.")
    }
    return parsed
  }

  /// Trains one run, from its checkpoint if it has one; `nil` when it was interrupted.
  private func train(
    _ run: ComparisonRun, on backbone: Backbone, _ progress: inout ComparisonProgress
  ) async throws -> ComparisonResult? {
    let seed = UInt64(run.seed)
    let model = try GraftedModel(backbone, adapter: run.adapter, classes: run.training.classNames, seed: seed)
    let trainer = try Trainer(
      model, recipe: run.recipe, seed: seed, output: folder(run),
      transform: JSONValue(encoding: run.training.transform))
    let result = try await trainer.run(
      training: run.training, validation: run.validation, evaluatesEvery: evaluateEvery ?? run.recipe.epochs,
      resumes: true, shouldStop: { StopSignal.isWanted }
    ) { progress.show($0) }
    return result.wasInterrupted
      ? nil : try run.result(result, device: backbone.context.traits.name, command: commandLine)
  }

  private func folder(_ run: ComparisonRun) -> FilePath { out / "runs" / run.folderName }

  private func interrupted(_ file: ResultsFile, _ reporter: Reporter) -> ExitCode {
    reporter.note("Interrupted and saved. The same command goes on from here.")
    reporter.emit("interrupted", ["finished": .integer(file.results.count), "out": JSONValue(out)])
    return ExitCode(130)
  }
}

/// The command as it was typed, quoted for a shell.
private var commandLine: String {
  (["graft"] + commandLineWords.dropFirst()).map { word in
    let plain = word.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "+-_./:=,@%".contains($0)) }
    if plain, !word.isEmpty { return word }
    let quoted = word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''")
    return "'" + quoted + "'"
  }.joined(separator: " ")
}

extension GraftError {
  /// A run failed for a reason of its own; others may do well.
  fileprivate var concernsOneRun: Bool {
    switch self {
    case .lossNotFinite, .gradientNotFinite, .notFinite, .modelDamaged, .batchDoesNotFit: true
    default: false
    }
  }
}
