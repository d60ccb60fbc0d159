import ArgumentParser
import Graft
import GraftData
import GraftRuntime
import GraftSystem

struct PredictCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "predict", abstract: "Name what is in pictures, with probabilities.",
    usage: "graft predict --model DIR|FILE [--model ...] [OPTIONS] IMAGE ...",
    discussion: """
      EXAMPLES
        graft predict --model runs/alore photo.jpg
        graft predict --model runs/alore --top 1 --json photos/*.jpg
        graft predict --model runs/flowers --model runs/birds photo.jpg

      Several models each have their say on every picture; those that were
      trained on the same backbone share it in memory. A picture that cannot be
      read is named, the others are answered, and the verb ends with status 65.
      """)

  @Option(
    name: .customLong("model"),
    help: ArgumentHelp(
      "A folder that graft train wrote, or a file that graft merge wrote; may be repeated.",
      valueName: "dir|file"))
  var models: [GivenPath]
  @Argument(help: "JPEG, PNG or WebP files.")
  var images: [GivenPath]
  @Option(help: "Classes to name for each picture.")
  var top = 3
  @OptionGroup var backbone: ModelArguments
  @Option(help: "Pictures at a time.")
  var batchSize = 16
  @OptionGroup var decoding: DecodingArguments
  @OptionGroup var precision: PrecisionOptions
  @OptionGroup var device: DeviceOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let reporter = Reporter(isJSON: output.json)
    try await reporter.run {
      guard top > 0, batchSize > 0 else {
        throw ValidationError("--top and --batch-size must be at least 1.")
      }
      let context = try device.context(precision.precision.value)
      var loaded: [LoadedModel] = []
      for path in models {
        let (model, transform) = try backbone.load(
          path.path, sharing: loaded.map(\.model.backbone), batchSize: min(batchSize, images.count),
          on: context, reporter)
        loaded.append(LoadedModel(path: path, model: model, transform: transform))
      }
      var faults: [DataError] = []
      for start in stride(from: 0, to: images.count, by: batchSize) where Reporter.isHeard {
        let paths = Array(images[start..<min(start + batchSize, images.count)])
        faults += try predict(paths, loaded, reporter)
      }
      let answered = images.count - faults.count
      if let first = faults.first {
        let others = "\(faults.count) of \(images.count) pictures cannot be read; the others are answered."
        let summary = images.count == 1 ? "\(first)" : "\(others) The first: \(first)"
        if images.count > 1 { reporter.note("Error: \(others)") }
        reporter.emit(
          "error",
          [
            "message": .string(summary), "images": .integer(answered), "broken": .integer(faults.count),
            "models": .integer(models.count),
          ])
        throw ExitCode(EX_DATAERR)
      }
      reporter.emit("done", ["images": .integer(answered), "models": .integer(models.count)])
    }
  }

  /// Answers for the pictures that can be read, in order, and names the others; returns their faults.
  private func predict(_ paths: [GivenPath], _ loaded: [LoadedModel], _ reporter: Reporter) throws
    -> [DataError]
  {
    // Models that want the pictures alike share them too.
    let preparations = Set(loaded.map(\.preparation))
    for preparation in preparations { try preparation.check() }
    var faults: [Int: DataError] = [:]
    var pixels: [Preparation: [UInt8]] = [:]
    for (index, path) in paths.enumerated() {
      do {
        let crops = try preparations.map { ($0, try $0.pixels(of: path.path, decoding)) }
        for (preparation, crop) in crops { pixels[preparation, default: []] += crop }
      } catch let fault as DataError {
        faults[index] = fault
      }
    }
    let good = paths.indices.filter { faults[$0] == nil }
    let decisions = try loaded.map { source in
      good.isEmpty
        ? []
        : try source.model.decide(
          ImageBatch(
            count: good.count, imageSize: source.preparation.imageSize,
            pixels: pixels[source.preparation] ?? []))
    }
    var row = 0
    for (index, image) in paths.enumerated() {
      if let fault = faults[index] {
        reporter.note("Error: \(fault)")
        reporter.emit("broken", ["image": .string(image.word), "message": .string("\(fault)")])
        continue
      }
      for (source, decisions) in zip(loaded, decisions) { try show(source, image, decisions[row], reporter) }
      row += 1
    }
    return faults.sorted { $0.key < $1.key }.map(\.value)
  }

  private func show(
    _ source: LoadedModel, _ image: GivenPath, _ decision: Decision, _ reporter: Reporter
  ) throws {
    let best = source.model.predictions(decision.logits).prefix(top)
    let names = best.map { "\($0.className) \(format(100 * Double($0.probability))) %" }
    let origin: Message = models.count > 1 ? " (\(source.path.word))" : ""
    reporter.say("\(image.word)\(origin): \(names.joined(separator: ", "))")
    reporter.emit(
      "prediction",
      [
        "model": .string(source.path.word), "image": .string(image.word),
        "predictions": try JSONValue(encoding: Array(best)),
        "logits": .array(decision.logits.map { .number(Double($0)) }),
        "blocks": .integer(source.model.summary.exits[decision.exit].blocks),
      ])
  }
}

/// A model, where it came from, and how its pictures are prepared.
private struct LoadedModel {
  let path: GivenPath
  let model: GraftedModel
  let transform: ImageTransform

  var preparation: Preparation {
    Preparation(transform: transform, imageSize: model.backbone.shape.imageSize)
  }
}

/// How pictures become a model's input.
private struct Preparation: Hashable {
  let transform: ImageTransform
  let imageSize: Int

  /// - Throws: `DataError.badTransform`: the fault of no picture.
  func check() throws { try transform.check(imageSize: imageSize) }

  func pixels(of path: FilePath, _ decoding: DecodingArguments) throws -> [UInt8] {
    try loadImage(path, transform: transform, imageSize: imageSize, maximumPixels: decoding.maxPixels)
  }
}
