/// How to train: optimiser, schedule, batches.
///
/// Everything but the model and the data.
public struct TrainingRecipe: Codable, Sendable, Hashable {
  /// The optimiser and its constants.
  public enum Optimizer: Codable, Sendable, Hashable {
    /// AdamW with decoupled weight decay.
    case adamW(beta1: Float, beta2: Float, epsilon: Float)
    /// Stochastic gradient descent.
    case sgd(momentum: Float, nesterov: Bool)
  }

  /// What happens to training images before the crop.
  public enum Augmentation: String, Codable, Sendable, Hashable, CaseIterable {
    /// Squash to the image size; nothing random.
    case none
    /// The ILA paper: squash to 1.34 times the size, random crop, horizontal flip; centre crop in evaluation.
    case ila
    /// Resize until the image size is covered, the aspect ratio kept, then centre crop (SSF's VTAB-1k).
    case vtab
    /// Random resized crop and horizontal flip (SSF's FGVC, without mixup, cutmix and erasing).
    case fgvc
  }

  /// The name under which the recipe is known.
  public var name: String
  /// Passes over the training images.
  public var epochs: Int
  /// Images a step.
  public var batchSize: Int
  /// Batches whose gradients are summed before a step.
  public var accumulation: Int
  /// Optimiser.
  public var optimizer: Optimizer
  /// Peak learning rate.
  public var learningRate: Double
  /// Weight decay, on everything trainable.
  public var weightDecay: Float
  /// Schedule.
  public var schedule: LearningRateSchedule
  /// Largest global norm of the gradients; 0 leaves them alone.
  public var clip: Float
  /// Label smoothing of the cross-entropy.
  public var labelSmoothing: Float
  /// Dropout on the outputs of the frozen attention and MLP branches.
  public var backboneDropout: Float
  /// Probability with which a frozen branch of the last block is dropped whole for an image; it grows in a straight line
  /// from 0 at the first block (stochastic depth, timm's drop-path).
  public var dropPath: Float
  /// Augmentation.
  public var augmentation: Augmentation
  /// Normalisation to use whatever the weights were trained with; `nil` keeps the backbone's.
  public var normalization: Normalization?

  /// Names of the presets.
  public static let presetNames = [
    "quick", "ila", "ssf-vtab", "ssf-fgvc", "alore-vtab", "alore-fgvc", "petl", "vpt",
  ]

  /// A preset by name.
  ///
  /// - Parameters:
  ///   - name: `quick` (short runs: AdamW, one cycle), `ila` (arXiv 2409.11051), `ssf-vtab` and `ssf-fgvc`
  ///     (arXiv 2210.08823), `alore-vtab` and `alore-fgvc` (reconstructed: SSF's, which ALoRE's paper links), `petl`
  ///     (that of RepAdapter, FacT and Convpass), `vpt` (that of VPT, whose rate and decay were searched for each task
  ///     among 0.0125 ... 12.5 and 0 ... 0.01 at this batch).
  ///   - adapter: its learning rate is chosen to suit where a recipe leaves it open.
  /// - Throws: ``GraftError/badSetting(name:value:reason:)`` for another name.
  public static func preset(_ name: String, for adapter: any Adapter) throws -> TrainingRecipe {
    let adamW = Optimizer.adamW(beta1: 0.9, beta2: 0.999, epsilon: 1e-8)
    var recipe = TrainingRecipe(
      name: name, epochs: 12, batchSize: 32, accumulation: 1, optimizer: adamW,
      learningRate: adapter.quickLearningRate, weightDecay: 0.01,
      schedule: .oneCycle(rise: 0.3, division: 25, finalDivision: 1e4), clip: 1, labelSmoothing: 0,
      backboneDropout: 0, dropPath: 0, augmentation: .none, normalization: nil)
    switch name {
    case "quick": break
    case "ila":
      recipe.epochs = 50
      recipe.batchSize = 8
      recipe.optimizer = .sgd(momentum: 0.9, nesterov: true)
      recipe.learningRate = 0.1
      recipe.weightDecay = 0
      recipe.schedule = .cosine(warmupSteps: 500, warmupEpochs: 0, start: 1e-6, floor: 1e-5)
      recipe.backboneDropout = 0.1
      recipe.augmentation = .ila
      recipe.normalization = .imageNet
    case "ssf-vtab", "ssf-fgvc", "alore-vtab", "alore-fgvc":
      let isVTAB = name.hasSuffix("vtab")
      recipe.epochs = 100
      recipe.batchSize = 64
      recipe.learningRate = isVTAB ? 5e-3 : 1e-2
      recipe.weightDecay = 5e-5
      recipe.schedule = .cosine(warmupSteps: 0, warmupEpochs: 10, start: 1e-7, floor: 1e-8)
      recipe.clip = 0
      recipe.augmentation = isVTAB ? .vtab : .fgvc
      if !isVTAB {
        recipe.weightDecay = 0.05
        recipe.labelSmoothing = 0.1
      }
    case "petl":
      recipe.epochs = 100
      recipe.batchSize = 64
      recipe.learningRate = 1e-3
      recipe.weightDecay = 1e-4
      recipe.schedule = .cosine(warmupSteps: 0, warmupEpochs: 10, start: 1e-6, floor: 1e-5)
      recipe.clip = 0
      recipe.dropPath = 0.1
      recipe.normalization = .imageNet
    case "vpt":
      recipe.epochs = 100
      recipe.batchSize = 64
      recipe.optimizer = .sgd(momentum: 0.9, nesterov: false)
      recipe.learningRate = 0.25
      recipe.weightDecay = 1e-4
      recipe.schedule = .cosine(warmupSteps: 0, warmupEpochs: 10, start: 1e-6, floor: 0)
      recipe.clip = 0
      recipe.normalization = .imageNet
    default:
      throw GraftError.badSetting(
        name: "preset", value: name, reason: "known are \(presetNames.joined(separator: ", ")).")
    }
    return recipe
  }

  /// Refuses values that cannot work, before anything is computed.
  ///
  /// - Throws: ``GraftError/badSetting(name:value:reason:)``.
  public func validate() throws {
    func require(_ holds: Bool, _ name: String, _ value: Any, _ reason: String) throws {
      if !holds { throw GraftError.badSetting(name: name, value: "\(value)", reason: reason) }
    }
    let counts = 1...1_000_000
    try require(
      counts.contains(epochs), "epochs", epochs, "it must be at least 1 and at most \(counts.upperBound).")
    try require(
      counts.contains(batchSize), "batch size", batchSize,
      "it must be at least 1 and at most \(counts.upperBound).")
    try require(
      counts.contains(accumulation), "accumulation", accumulation,
      "it must be at least 1 and at most \(counts.upperBound).")
    try require(
      learningRate > 0 && learningRate.isFinite, "learning rate", learningRate, "it must be above 0.")
    try require(
      weightDecay >= 0 && weightDecay.isFinite, "weight decay", weightDecay, "it must not be negative.")
    try require(clip >= 0 && clip.isFinite, "clip", clip, "it must not be negative; 0 turns it off.")
    try require((0..<1).contains(labelSmoothing), "label smoothing", labelSmoothing, "it must be in 0..<1.")
    try require(
      (0..<1).contains(backboneDropout), "backbone dropout", backboneDropout, "it must be in 0..<1.")
    try require((0..<1).contains(dropPath), "drop path", dropPath, "it must be in 0..<1.")
  }
}
