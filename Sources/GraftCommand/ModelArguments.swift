import ArgumentParser
import Graft
import GraftData
import GraftRuntime
import GraftSystem

/// Options that say what a model's folder does not: where its backbone is, and how one of PEFT's folders reads it.
struct ModelArguments: ParsableArguments {
  @Option(
    help: "The backbone's file; beside a model, if it has moved since training or the folder is PEFT's.")
  var backbone: FilePath?

  /// For folders of PEFT's, which record nothing of it themselves.
  @OptionGroup(title: "Options for folders of PEFT's") var facts: FactArguments

  /// A model from a folder that `graft train` or PEFT wrote or a file that `graft merge` wrote, and how its images are
  /// prepared.
  ///
  /// A backbone that another model has loaded is shared if it is the same.
  func load(
    _ path: FilePath, among models: [FilePath]? = nil, sharing backbones: [Backbone] = [],
    batchSize: Int = 1, on context: Context, _ reporter: Reporter
  ) throws -> (GraftedModel, ImageTransform) {
    let status: Stat
    do { status = try path.status() } catch .noSuchFileOrDirectory {
      throw CheckpointError.missingFile(path: path)
    } catch {
      throw CheckpointError.unreadable(path: path, reason: error.description)
    }
    let isFolder = status.type == .directory
    let isPEFT = try Self.isPEFT(path)
    // Beside a folder of PEFT's they are for that one.
    let options = try facts.options()
    if options != BackboneOptions(), try !(models ?? [path]).contains(where: Self.isPEFT) {
      throw ValidationError(
        """
        --heads, --epsilon, --normalization and --set-backbone are for folders of PEFT's; \(printable(path)) records \
        them itself.
        """
      )
    }
    let model: GraftedModel
    let transform: JSONValue
    if isFolder {
      transform = try AdapterFolder.transform(at: path)
      model = try GraftedModel(
        path: path, backbonePath: backbone, options: options, sharing: backbones,
        batchSize: batchSize, on: context)
    } else {
      transform = try GraftedModel.manifest(ofMerged: SafetensorsFile(path: path)).transform
      model = try GraftedModel(merged: path, on: context)
    }
    // Graft's own folders record what was said in training.
    if isPEFT, let line = Assumptions(model.backbone.assumed, of: model.backbone.shape.architecture).line {
      reporter.note("\(path): \(line)")
    }
    return (model, Self.transform(transform, imageSize: model.backbone.shape.imageSize))
  }

  /// How pictures are prepared for a model that is not loaded yet; nil where only the loaded model tells.
  func preparation(of path: FilePath) -> PictureQueue.Preparation? {
    guard (try? Self.isPEFT(path)) == false, let manifest = try? AdapterFolder(path: path).manifest else {
      return nil
    }
    let imageSize = manifest.backbone.imageSize
    return .init(transform: Self.transform(manifest.transform, imageSize: imageSize), imageSize: imageSize)
  }

  private static func transform(_ json: JSONValue, imageSize: ImageSize) -> ImageTransform {
    (try? json.decoded(as: ImageTransform.self)) ?? .squash(imageSize: imageSize)
  }

  private static func isPEFT(_ path: FilePath) throws -> Bool { try path.isFolder && PEFTFolder.isAt(path) }
}
