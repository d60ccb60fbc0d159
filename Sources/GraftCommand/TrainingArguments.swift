import ArgumentParser
import Graft
import GraftData
import GraftSystem

/// Options that change a recipe; what is not given stays as the preset has it.
struct RecipeArguments: ParsableArguments {
  @Option(help: "Passes over the training images.") var epochs: Int?
  @Option(help: "Images a step.") var batchSize: Int?
  @Option(help: "Batches whose gradients are summed before a step.") var accumulation: Int?
  @Option(help: "Peak learning rate.") var learningRate: Double?
  @Option(help: "Weight decay.") var weightDecay: Float?
  @Option(help: "Largest global norm of the gradients; 0 turns clipping off.") var clip: Float?
  @Option(help: "Label smoothing.") var labelSmoothing: Float?
  @Option(help: "Dropout on the frozen branches' outputs.") var backboneDropout: Float?
  @Option(help: "Drop-path on the last block's frozen branches, less on those below.") var dropPath: Float?
  @Option(help: "What happens to training images.") var augmentation: Named<TrainingRecipe.Augmentation>?

  /// The preset with these changes.
  func recipe(_ preset: String, for adapter: any Adapter) throws -> TrainingRecipe {
    var recipe = try TrainingRecipe.preset(preset, for: adapter)
    if let epochs { recipe.epochs = epochs }
    if let batchSize { recipe.batchSize = batchSize }
    if let accumulation { recipe.accumulation = accumulation }
    if let learningRate { recipe.learningRate = learningRate }
    if let weightDecay { recipe.weightDecay = weightDecay }
    if let clip { recipe.clip = clip }
    if let labelSmoothing { recipe.labelSmoothing = labelSmoothing }
    if let backboneDropout { recipe.backboneDropout = backboneDropout }
    if let dropPath { recipe.dropPath = dropPath }
    if let augmentation { recipe.augmentation = augmentation.value }
    try recipe.validate()
    return recipe
  }

  /// What the presets are, for the help of a verb.
  static let presets = """
    PRESETS
      quick       AdamW, one cycle, 12 epochs
      ila         the ILA paper's
      ssf-vtab, ssf-fgvc
                  SSF's, without mixup, cutmix, erasing, drop-path and weight
                  averaging
      alore-vtab, alore-fgvc
                  reconstructed from SSF's
      petl        RepAdapter's, with drop-path 0.1
      vpt         VPT's; its rate was searched for each task
    """
}

/// Options that say what to train on.
struct DataArguments: ParsableArguments {
  @Option(help: "Folder with train/CLASS/ and val/CLASS/ images.")
  var data: FilePath
  @Flag(help: "Leave out images that cannot be decoded instead of stopping.") var skipBroken = false
  @Option(
    help: ArgumentHelp(
      """
      Most memory for pictures that are kept from pass to pass, after the resize that comes before a random crop, or off \
      (default a quarter of what is free).
      """, valueName: "size|off"))
  var cacheImages: String?
  @OptionGroup var decoding: DecodingArguments

  typealias Folders = (training: ImageFolder, validation: ImageFolder)

  /// Where pictures stay from pass to pass; nil where they are not to.
  func keptPictures() throws -> KeptPictures? {
    cacheImages == "off"
      ? nil : KeptPictures(limit: try cacheImages.map { try bytes($0, of: "--cache-images") })
  }

  /// The task's name: the folder's own.
  var taskName: String {
    data.absolute.lexicallyNormalized().lastComponent.map { escaped($0.bytes) } ?? "data"
  }

  /// The images to learn from and to judge by, prepared as a recipe wants it.
  func folders(
    _ recipe: TrainingRecipe, imageSize: ImageSize, keeping kept: KeptPictures?, _ reporter: Reporter
  ) throws -> Folders {
    let transform = imageTransform(recipe.augmentation, imageSize: imageSize)
    func images(_ part: String) throws -> ImageFolder {
      try imageFolder(
        data / part, transform: transform, skipsBroken: skipBroken, options: decoding.options(keeping: kept),
        reporter: reporter)
    }
    let (training, validation) = (try images("train"), try images("val"))
    try checkSameClasses(train: training, val: validation)
    return (training, validation)
  }
}

/// What a step computes twice to hold less.
struct MemoryArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "What a training step computes again to hold less: norms, hidden (the MLPs' hidden layers too) or blocks (all "
        + "but their inputs)."))
  var recompute = Named(Recomputation.norms)
}

/// Where the output of frozen blocks is kept from pass to pass.
struct FeatureArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Where to keep what blocks below the adapter make of images that are not augmented: memory, off, or a folder "
        + "that later runs use too.", valueName: "where"))
  var cacheFeatures = "memory"
  @Option(help: "Most that --cache-features keeps (default 1G in memory, 8G in a folder).")
  var cacheLimit: String?

  var isFolder: Bool { !["off", "memory"].contains(cacheFeatures) }

  func storage() throws -> FeatureStorage {
    let limit = try cacheLimit.map { try bytes($0, of: "--cache-limit") }
    return switch cacheFeatures {
    case "off": .none
    case "memory": limit.map { .memory(limit: $0) } ?? .standard
    default: FilePath(escapedText: cacheFeatures).map { .folder($0, limit: limit ?? 8 << 30) } ?? .none
    }
  }
}

extension BackboneArguments {
  /// How the backbone is prepared to be trained on by a recipe, and its shape then.
  func prepared(for recipe: TrainingRecipe) throws -> (
    options: BackboneOptions, shape: BackboneShape
  ) {
    var options = try options()
    let reading = try BackboneCatalog.read(backbone, options: options)
    // What the recipe says now is nobody's knowledge of the weights.
    options.presumed = reading.assumed
    let stored = try reading.architecture.shape()
    if options.imageSize == nil {
      let patch = stored.stem.patchSize
      // Pre-training sizes such as DINOv2's 518 are rarely what one wants to pay for.
      options.imageSize = stored.imageSize.map { min($0, max(patch, 224 / patch * patch)) }
    }
    if reading.assumed.contains(.normalization) { options.normalization = recipe.normalization }
    if recipe.name == "ila" {
      // The ILA code's own conventions.
      if reading.assumed.contains(.epsilon) { options.epsilon = 1e-12 }
      // It has a way for tables of positions, and none for relative ones.
      if reading.origins[.positionResampling]?.isAssumed == true, stored.stem.position != nil {
        options.positionResampling = .bilinearAlignedCorners
      }
    }
    return (options, try BackboneShape(path: backbone, options: options))
  }
}
