import ArgumentParser
import Foundation
import Graft
import GraftData
import GraftRuntime

struct EvalCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "eval", abstract: "Measure a trained model on labelled images.",
    usage: "graft eval --model DIR|FILE --data DIR [OPTIONS]",
    discussion: """
      EXAMPLES
        graft eval --model runs/alore --data flowers
        graft eval --model merged.safetensors --data flowers --json

      DATA is a folder with val/CLASS/ images, or with CLASS/ images itself.
      """)

  @Option(help: "A folder that graft train wrote, or a file that graft merge wrote.")
  var model: String
  @Option(help: "Folder of images.")
  var data: String
  @Option(help: "The backbone's file, if it has moved since training.")
  var backbone: String?
  @Option(help: "Images at a time.")
  var batchSize = 32
  @Flag(help: "Leave out images that cannot be decoded instead of stopping.")
  var skipBroken = false
  @OptionGroup var device: DeviceOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let reporter = Reporter(isJSON: output.json)
    try await reporter.run {
      guard batchSize > 0 else { throw ValidationError("--batch-size must be at least 1.") }
      let context = try device.context()
      let (model, transform) = try loadModel(model, backbone: backbone, on: context)
      let hasParts = FileManager.default.fileExists(atPath: data + "/val")
      let images = try imageFolder(
        data, hasParts ? "val" : "", transform: transform, skipsBroken: skipBroken, reporter: reporter)
      let result = try await model.evaluate(images, batchSize: batchSize) { done in
        reporter.progress("\(bar(done, of: images.count)) \(done)/\(images.count)")
      }
      reporter.endProgress()
      reporter.say(
        """
        top-1 \(format(100 * result.top1)) % of \(result.count) images, loss \(format(result.loss, 3)), \
        \(format(result.imagesPerSecond)) images/s, peak device memory \(formatBytes(context.memory.peakBytes))
        """)
      var fields = try JSONValue(encoding: result).objectValue ?? [:]
      fields["method"] = .string(model.adapter.name)
      fields["gmac"] = .number(model.summary.gmac)
      fields["peak_device_bytes"] = .integer(context.memory.peakBytes)
      reporter.emit("done", fields)
    }
  }
}
