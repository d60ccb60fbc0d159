import ArgumentParser
import Graft
import GraftSystem

struct ConvertCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Write a backbone's weights, whatever their format and names, in timm's names.",
    usage: "graft convert --backbone FILE|FOLDER --out FILE.safetensors [OPTIONS]",
    discussion: """
      EXAMPLES
        graft convert --backbone mae_pretrain_vit_base.pth --out mae.safetensors
        graft convert --backbone ViT-B_16.npz --out vit.safetensors

      Reads safetensors (one file, or shards with their index), PyTorch's .pth,
      .pt and .bin, of which nothing is run, and NumPy's .npz. Tensors that need
      no more than another name keep their bits, others are written in fp32.
      """)

  @Option(help: "The file of weights, or a folder with one.")
  var backbone: FilePath
  @Option(help: "The safetensors file to write.")
  var out: FilePath
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let reporter = Reporter(isJSON: output.json)
    try await reporter.run {
      let report = try BackboneCatalog.convert(backbone, to: out)
      reporter.say(
        "Wrote \(out): \(report.tensors) tensors of \(report.architecture), read as \(report.dialect).")
      reporter.emit(
        "done",
        [
          "out": JSONValue(out), "tensors": .integer(report.tensors), "dialect": .string(report.dialect),
          "architecture": .string(report.architecture),
        ])
    }
  }
}
