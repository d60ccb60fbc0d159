import ArgumentParser
import Graft
import GraftData
import GraftRuntime

struct PredictCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "predict", abstract: "Name what is in pictures, with probabilities.",
    usage: "graft predict --model DIR|FILE [OPTIONS] IMAGE ...",
    discussion: """
      EXAMPLES
        graft predict --model runs/alore photo.jpg
        graft predict --model runs/alore --top 1 --json photos/*.jpg
      """)

  @Option(help: "A folder that graft train wrote, or a file that graft merge wrote.")
  var model: String
  @Argument(help: "JPEG or PNG files.")
  var images: [String]
  @Option(help: "Classes to name for each picture.")
  var top = 3
  @Option(help: "The backbone's file, if it has moved since training.")
  var backbone: String?
  @Option(help: "Pictures at a time.")
  var batchSize = 16
  @OptionGroup var device: DeviceOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let reporter = Reporter(isJSON: output.json)
    try await reporter.run {
      guard top > 0, batchSize > 0 else {
        throw ValidationError("--top and --batch-size must be at least 1.")
      }
      let context = try device.context()
      let (model, transform) = try loadModel(model, backbone: backbone, on: context)
      let size = model.backbone.shape.imageSize
      for start in stride(from: 0, to: images.count, by: batchSize) {
        let paths = images[start..<min(start + batchSize, images.count)]
        let pixels = try paths.flatMap { try loadImage($0, transform: transform, imageSize: size) }
        let batch = ImageBatch(count: paths.count, imageSize: size, pixels: pixels)
        for (path, logits) in zip(paths, try model.logits(batch)) {
          let best = model.predictions(logits).prefix(top)
          reporter.say(
            "\(path): "
              + best.map { "\($0.className) \(format(100 * Double($0.probability))) %" }.joined(
                separator: ", "))
          reporter.emit(
            "prediction",
            [
              "image": .string(path), "predictions": try JSONValue(encoding: Array(best)),
              "logits": .array(logits.map { .number(Double($0)) }),
            ])
        }
      }
      reporter.emit("done", ["images": .integer(images.count)])
    }
  }
}
