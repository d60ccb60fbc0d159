import GraftOps
import GraftRuntime
import GraftSystem

/// Where a run stands; with the model's and the optimiser's tensors it is enough to go on to the same bits.
struct TrainingState: Codable, Equatable {
  /// What must be equal for a run to be continued.
  struct Identity: Codable, Equatable {
    var recipe: TrainingRecipe
    var seed: UInt64
    var adapter: JSONValue
    var backboneHash: String
    var shape: StoredArchitecture
    var positionResampling: PositionResampling
    var precision: StoragePrecision
    var classes: [String]
    var trainingImages: Int
    var trainingData: String
    /// What of the device's tuning decides the bits; `nil` for the defaults, and so in files older than this field.
    var tuning: Tuning.Arithmetic?
    /// How frozen products are computed where the device offers more than its tuning says.
    var products: MatmulVariant?
    /// See ``BackboneShape/arithmetic``; `nil` too in files older than this field.
    var arithmetic: Int?
  }

  var identity: Identity
  /// Optimiser steps done.
  var step = 0
  /// Passes completed.
  var epoch = 0
  /// Batches of the current pass that are done.
  var batchesDone = 0
  /// Sum of the current pass's losses, and how many they are.
  var lossSum = 0.0
  var losses = 0
  /// Best validation accuracy so far.
  var bestTop1 = -1.0
}

extension TrainingState {
  private static let key = "graft_training_state"

  /// Writes state, model and optimiser as one file: a crash leaves the old one or the new one.
  func write(_ point: RestorePoint, to path: FilePath) throws {
    let text = try JSON.text(of: self, .escapedLine)
    try Safetensors.write(
      point.tensors, metadata: point.metadata.merging([Self.key: text]) { $1 }, to: path)
  }

  /// Reads a state back into a model and an optimiser that were made from the same settings.
  static func read(
    from path: FilePath, expecting identity: Identity, into model: GraftedModel, _ optimizer: any Optimizer
  ) throws -> TrainingState {
    let file = try SafetensorsFile(path: path)
    let state = try stored(in: file)
    guard let steps = file.metadata["optimizer_steps"].flatMap(Int.init) else { throw noCheckpoint(path) }
    if let difference = state.identity.difference(from: identity) {
      throw GraftError.cannotResume(folder: path, reason: "\(difference) differs from the interrupted run's.")
    }
    // One buffer for all parameters, with gaps as the device's parts of buffers want them.
    for (name, tensor) in optimizer.state {
      guard let stored = file.tensors["optimizer.\(name)"], stored.shape != tensor.shape else { continue }
      throw GraftError.cannotResume(
        folder: path,
        reason: "it was written on a device that aligns memory otherwise; go on there (--device).")
    }
    var expected = model.stateShapes
    for (name, tensor) in optimizer.state { expected["optimizer.\(name)"] = tensor.shape }
    try file.requireTensors(expected)
    try model.restore(from: file)
    for (name, tensor) in optimizer.state {
      try tensor.assign(file.floats("optimizer.\(name)", requireFinite: true))
    }
    optimizer.stepCount = steps
    return state
  }

  /// Where the run stands that a file was written by; its tensors are not looked at.
  static func stored(in file: SafetensorsFile) throws -> TrainingState {
    guard let text = file.metadata[key],
      let state = try? JSON.value(TrainingState.self, of: text)
    else { throw noCheckpoint(file.path) }
    return state
  }

  private static func noCheckpoint(_ path: FilePath) -> GraftError {
    .cannotResume(folder: path, reason: "the file is not a training checkpoint.")
  }
}

extension BackboneShape {
  /// Counts the ways in which Graft has computed such a backbone, where they differ in bits; `nil` where there has been one.
  ///
  /// At first layer scale was folded into the weight; 2 applies it in the product's last step.
  var arithmetic: Int? { parts.contains { $0.layerScale != nil } ? 2 : nil }
}

extension TrainingState.Identity {
  /// What differs, in words.
  func difference(from other: Self) -> String? {
    if recipe != other.recipe { return "the recipe (epochs, batch size, learning rate, ...)" }
    if seed != other.seed { return "the seed" }
    if adapter != other.adapter { return "the adapter or its settings" }
    if backboneHash != other.backboneHash { return "the backbone" }
    if shape.architecture.imageSize != other.shape.architecture.imageSize { return "the image size" }
    if shape != other.shape { return "the backbone's number of heads, its epsilon or its normalisation" }
    if positionResampling != other.positionResampling { return "the resampling of the position embedding" }
    if precision != other.precision { return "the precision of the weights" }
    if classes != other.classes { return "the set of classes" }
    if trainingImages != other.trainingImages { return "the number of training images" }
    if trainingData != other.trainingData {
      return "a name, a size or a label of the training images, or how they are decoded"
    }
    if tuning != other.tuning {
      return "the device's tuning (see graft tune; GRAFT_TUNING=off takes the defaults)"
    }
    if products != other.products { return "how this processor multiplies bf16 (GRAFT_MATMUL decides)" }
    if arithmetic != other.arithmetic {
      return """
        how layer scale is computed (another version of Graft began the run: finish it with that one, or train anew \
        into another folder)
        """
    }
    // A field that has no words yet must still stop the run.
    return self == other ? nil : "a setting"
  }
}
