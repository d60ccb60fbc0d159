import ArgumentParser
import Foundation
import Graft
import GraftRuntime

struct InfoCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "info", abstract: "Count parameters, tokens and operations of a model; nothing is run.",
    usage: "graft info --backbone FILE|ARCHITECTURE [--adapter NAME] [OPTIONS]",
    discussion: """
      EXAMPLES
        graft info --backbone vit_base_patch16_224
        graft info --backbone vit_base_patch16_224 --adapter ila \\
            --image-size 448 --classes 80 --json
      """)

  @Option(help: "A safetensors file with timm's names, or a timm architecture name.")
  var backbone: String
  @Option(help: "Side of the images in pixels.")
  var imageSize: Int?
  @Option(help: "Attention heads, where they are not 64 channels wide.")
  var heads: Int?
  @Option(help: "Number of classes; 0 leaves the head out.")
  var classes = 0
  @Option(help: "\(AdapterCatalog.names.joined(separator: ", ")).")
  var adapter = "linear"
  @Option(name: .customLong("set"), help: ArgumentHelp("A setting of the adapter.", valueName: "name=value"))
  var settings: [String] = []
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let reporter = Reporter(isJSON: output.json)
    try await reporter.run {
      guard (0...1_000_000).contains(classes) else {
        throw ValidationError("--classes must be in 0...1000000.")
      }
      let adapter = try makeAdapter(adapter, settings)
      let shape = try backboneShape(backbone, imageSize: imageSize, heads: heads)
      let summary = try ModelSummary(shape, adapter: adapter, classes: classes)
      let weights = 4 * summary.backboneParameters
      reporter.say(
        """
        Backbone   \(shape.architectureName): width \(shape.width), \(shape.depth) blocks, \(shape.heads) heads, patch \
        \(shape.patchSize), images of \(shape.imageSize) px
        Adapter    \(adapter.name)

        Backbone parameters    \(grouped(summary.backboneParameters)) (frozen)
        Adapter parameters     \(grouped(summary.adapterParameters))
        Head parameters        \(grouped(summary.headParameters))\(classes == 0 ? " (say --classes)" : "")
        Trainable parameters   \(grouped(summary.trainableParameters))
        Tokens                 \(summary.tokens.map(String.init).joined(separator: " -> "))
        GMAC an image          \(format(summary.gmac, 3))
        Prepared weights       \(formatBytes(weights)) for use, up to \(formatBytes(2 * weights)) in training
        """)
      var fields = try JSONValue(encoding: summary).objectValue ?? [:]
      fields["architecture"] = .string(shape.architectureName)
      fields["adapter"] = .string(adapter.name)
      fields["image_size"] = .integer(shape.imageSize)
      fields["weight_bytes"] = .integer(weights)
      reporter.emit("done", fields)
    }
  }
}

/// The shape behind a file or an architecture's name.
func backboneShape(_ backbone: String, imageSize: Int?, heads: Int?) throws -> VisionTransformerShape {
  if backbone.hasSuffix(".safetensors") || FileManager.default.fileExists(atPath: backbone) {
    let options = BackboneOptions(imageSize: imageSize, heads: heads)
    return try VisionTransformerShape(path: backbone, options: options)
  }
  let shape = try VisionTransformerShape(architecture: backbone)
  return try imageSize.map(shape.resized(to:)) ?? shape
}
