import ArgumentParser
import Graft
import GraftData
import GraftRuntime
import GraftSystem

/// Options that say what a model's folder does not: where its backbone is, and how one of PEFT's folders reads it.
struct ModelArguments: ParsableArguments {
  @Option(help: "The backbone's file, if it has moved since training; a folder of PEFT's needs it.")
  var backbone: FilePath?

  @Option(help: "For a folder of PEFT's: attention heads, where they are not 64 channels wide.")
  var heads: Int?

  @Option(help: "For a folder of PEFT's: epsilon of layer normalisation (default 1e-6, as in timm).")
  var epsilon: Float?

  @Option(help: "For a folder of PEFT's: pixel scaling the weights were trained with, imagenet or half.")
  var normalization: BackboneArguments.NormalizationName?

  /// What was said for folders that record nothing themselves.
  var options: BackboneOptions {
    BackboneOptions(heads: heads, epsilon: epsilon, normalization: normalization?.value)
  }

  /// A model from a folder that `graft train` or PEFT wrote or a file that `graft merge` wrote, and how its images are
  /// prepared.
  ///
  /// A backbone that another model has loaded is shared if it is the same.
  func load(
    _ path: FilePath, sharing backbones: [VisionTransformer] = [], on context: Context
  ) throws -> (GraftedModel, ImageTransform) {
    let status: Stat
    do { status = try path.status() } catch .noSuchFileOrDirectory {
      throw CheckpointError.missingFile(path: path)
    } catch {
      throw CheckpointError.unreadable(path: path, reason: error.description)
    }
    let isFolder = status.type == .directory
    if options != BackboneOptions(), try !isFolder || !PEFTFolder.isAt(path) {
      throw ValidationError(
        "--heads, --epsilon and --normalization are for folders of PEFT's; \(printable(path)) records them itself."
      )
    }
    let model: GraftedModel
    let transform: JSONValue
    if isFolder {
      transform = try AdapterFolder.transform(at: path)
      model = try GraftedModel(
        path: path, backbonePath: backbone, options: options, sharing: backbones, on: context)
    } else {
      transform = try GraftedModel.manifest(ofMerged: SafetensorsFile(path: path)).transform
      model = try GraftedModel(merged: path, on: context)
    }
    let decoded = try? transform.decoded(as: ImageTransform.self)
    return (model, decoded ?? .squash(imageSize: model.backbone.shape.imageSize))
  }
}
