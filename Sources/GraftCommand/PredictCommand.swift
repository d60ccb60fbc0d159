import ArgumentParser
import Graft
import GraftData
import GraftRuntime

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
      trained on the same backbone share it in memory.
      """)

  @Option(
    name: .customLong("model"),
    help: ArgumentHelp(
      "A folder that graft train wrote, or a file that graft merge wrote; may be repeated.",
      valueName: "dir|file"))
  var models: [String]
  @Argument(help: "JPEG, PNG or WebP files.")
  var images: [String]
  @Option(help: "Classes to name for each picture.")
  var top = 3
  @Option(help: "The backbone's file, if it has moved since training.")
  var backbone: String?
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
      var loaded: [(path: String, model: GraftedModel, transform: ImageTransform)] = []
      for path in models {
        let (model, transform) = try loadModel(
          path, backbone: backbone, sharing: loaded.map(\.model.backbone), on: context)
        loaded.append((path, model, transform))
      }
      for start in stride(from: 0, to: images.count, by: batchSize) {
        let paths = Array(images[start..<min(start + batchSize, images.count)])
        // Models that want the pictures alike share them too.
        var batches: [Preparation: ImageBatch] = [:]
        let decisions = try loaded.map { _, model, transform in
          let preparation = Preparation(transform: transform, imageSize: model.backbone.shape.imageSize)
          let batch = try batches[preparation] ?? preparation.batch(paths, decoding)
          batches[preparation] = batch
          return try model.decide(batch)
        }
        for (index, image) in paths.enumerated() {
          for (source, decisions) in zip(loaded, decisions) {
            try show(source.model, source.path, image, decisions[index], reporter)
          }
        }
      }
      reporter.emit(
        "done", ["images": .integer(images.count), "models": .integer(models.count)])
    }
  }

  private func show(
    _ model: GraftedModel, _ path: String, _ image: String, _ decision: Decision, _ reporter: Reporter
  ) throws {
    let best = model.predictions(decision.logits).prefix(top)
    let names = best.map { "\($0.className) \(format(100 * Double($0.probability))) %" }
    reporter.say("\(image)\(models.count > 1 ? " (\(path))" : ""): \(names.joined(separator: ", "))")
    reporter.emit(
      "prediction",
      [
        "model": .string(path), "image": .string(image), "predictions": try JSONValue(encoding: Array(best)),
        "logits": .array(decision.logits.map { .number(Double($0)) }),
        "blocks": .integer(model.summary.exits[decision.exit].blocks),
      ])
  }
}

/// How pictures become a model's input.
private struct Preparation: Hashable {
  let transform: ImageTransform
  let imageSize: Int

  func batch(_ paths: [String], _ decoding: DecodingArguments) throws -> ImageBatch {
    ImageBatch(
      count: paths.count, imageSize: imageSize,
      pixels: try paths.flatMap {
        try loadImage($0, transform: transform, imageSize: imageSize, maximumPixels: decoding.maxPixels)
      })
  }
}
