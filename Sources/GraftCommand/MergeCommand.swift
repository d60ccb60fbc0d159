import ArgumentParser
import Graft
import GraftRuntime
import GraftSystem

struct MergeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "merge", abstract: "Fold an adapter into its backbone: a plain checkpoint.",
    usage: "graft merge --model DIR --out FILE [OPTIONS]",
    discussion: """
      EXAMPLES
        graft merge --model runs/alore --out merged.safetensors
        graft merge --model runs/lora --names timm --out merged.safetensors

      The merged model costs what the plain backbone costs, and has the names that
      the backbone's file has (timm's, where that was an .npz). With --names timm
      it has timm's; heads, epsilon and what else no tensor tells stand in the
      metadata, where Graft finds them. These can be merged:
      \(mergeable.joined(separator: ", ")).
      The result is compared with the unmerged model before the verb ends well.
      """)

  /// On a plain ViT; elsewhere a place may be missing.
  private static var mergeable: [String] {
    guard let shape = try? BackboneShape(named: "vit_base_patch16_224") else { return [] }
    return AdapterCatalog.all.filter { $0.isMergeable(on: shape) }.map(\.name)
  }

  @Option(help: "A folder that graft train wrote.")
  var model: FilePath
  @Option(help: "The safetensors file to write.")
  var out: FilePath
  @Option(help: "The tensors' names: the backbone's original ones, or timm's.")
  var names = Named(WeightNames.original)
  @OptionGroup var backbone: ModelArguments
  @OptionGroup var device: DeviceOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let reporter = Reporter(isJSON: output.json)
    try await reporter.run {
      let context = try device.context()
      let transform = try AdapterFolder.transform(at: model)
      let original = try backbone.load(model, on: context, reporter).0
      try original.merge(to: out, names: names.value, transform: transform)
      let merged = try GraftedModel(merged: out, on: context)
      let difference = try original.relativeDifference(from: merged)
      guard difference <= 1e-4 else {
        try? out.remove()
        throw GraftError.notMergeable(
          adapter: original.adapter.name,
          reason: "the merged model's logits differ by \(difference) of their size; the file was removed.")
      }
      reporter.say(
        "Merged into \(out); logits differ by \(difference) of their size on a random image.")
      reporter.emit("done", ["out": JSONValue(out), "relative_difference": .number(difference)])
    }
  }
}
