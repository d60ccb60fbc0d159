import GraftSystem
public import SystemPackage

/// What can go wrong with models, adapters and training; each says what was asked and what to try.
public enum GraftError: Error, Equatable, Sendable {
  /// The image does not divide into whole patches.
  case imageSizeNotDivisible(imageSize: ImageSize, patchSize: Int)
  /// No such architecture; `nearest` is the most similar name, `meaning` what timm's model of that name is.
  case unknownArchitecture(String, nearest: String?, meaning: String?)
  /// timm has no weights with this tag for an architecture.
  case unknownWeights(String, of: String, known: [String])
  /// No such adapter; `nearest` is the most similar name.
  case unknownAdapter(String, nearest: String?, known: [String])
  /// A setting is out of its range.
  case badSetting(name: String, value: String, reason: String)
  /// The adapter does not fit the backbone's shape.
  case adapterDoesNotFit(adapter: String, reason: String)
  /// Two adapters take a place that only one can have.
  case siteTaken(site: String, adapter: String)
  /// The loss is not a number any more.
  case lossNotFinite(step: Int, checkpoint: FilePath?)
  /// The gradient is not a number any more; `tensor` is the uppermost one it damaged, `nil` when only its norm overflowed.
  case gradientNotFinite(step: Int, tensor: String?, checkpoint: FilePath?)
  /// A trained tensor holds NaN or infinity and is not saved; in a training run, after so many steps.
  case notFinite(tensor: String, step: Int? = nil)
  /// Training failed, and the model could not be put back to where it was before.
  case modelDamaged(reason: String)
  /// The device has no memory for this batch; `fitting` is a batch that should fit, 0 if none does.
  case batchDoesNotFit(batch: Int, fitting: Int, reason: String)
  /// The data and the model disagree about the classes.
  case wrongClasses(model: [String], data: [String])
  /// A run's folder cannot be continued.
  case cannotResume(folder: FilePath, reason: String)
  /// The adapter's work cannot be folded into the backbone's weights.
  case notMergeable(adapter: String, reason: String)
  /// The output folder cannot be used.
  case badOutput(folder: FilePath, reason: String)
}

extension GraftError: CustomStringConvertible {
  /// What happened and what to try.
  public var description: String {
    switch self {
    case .imageSizeNotDivisible(let imageSize, let patch):
      let below = imageSize.map { max(0, $0 / patch * patch) }
      let above = imageSize.map { max(patch, ($0 / patch + ($0 % patch == 0 ? 0 : 1)) * patch) }
      let fitting = min(below.height, below.width) > 0 ? "\(below) or \(above)" : "\(above)"
      return """
        An image of \(imageSize) pixels does not divide into patches of \(patch). Use --image-size \(fitting).
        """
    case .unknownArchitecture(let name, let nearest, let meaning):
      let reason = meaning.map { " By its name \($0), which Graft does not compute." } ?? ""
      let hint =
        nearest.map {
          meaning == nil ? " Did you mean \"\($0)\"?" : " The nearest that Graft has is \"\($0)\"."
        } ?? ""
      return """
        "\(printable(name))" is neither a file nor a timm architecture that Graft has.\(reason)\(hint) graft info --backbones \
        lists all, such as vit_base_patch16_224; --image-size gives them another size.
        """
    case .unknownWeights(let tag, let architecture, let known):
      let list = known.isEmpty ? "there are none" : "there are: \(known.joined(separator: ", "))"
      return """
        timm has no weights "\(printable(tag))" for \(architecture); \(list). Without a tag, \(architecture) is the architecture alone.
        """
    case .unknownAdapter(let name, let nearest, let known):
      let hint = nearest.map { " Did you mean \"\($0)\"?" } ?? ""
      return
        "There is no adapter called \"\(printable(name))\".\(hint) Known are: \(known.joined(separator: ", "))."
    case .badSetting(let name, let value, let reason):
      return "\(printable(name)) = \(printable(value)) does not work: \(reason)"
    case .adapterDoesNotFit(let adapter, let reason):
      return "The adapter \(adapter) does not fit this backbone: \(reason)"
    case .siteTaken(let site, let adapter):
      return "\(adapter) wants the site \(site), which another adapter has taken. Leave one of them out."
    case .lossNotFinite(let step, let checkpoint):
      return """
        The loss is not finite at step \(step); training stopped. \(kept(checkpoint)) Try a lower --learning-rate or a \
        smaller --clip.
        """
    case .gradientNotFinite(let step, let tensor, let checkpoint):
      let place = tensor.map { "The gradient of \($0)" } ?? "The norm of the gradient"
      return """
        \(place) is not finite at step \(step); training stopped. \(kept(checkpoint)) Try a lower --learning-rate or a \
        smaller --clip.
        """
    case .notFinite(let tensor, let step):
      return """
        The tensor \(tensor) holds NaN or infinity\(step.map { " after step \($0)" } ?? ""); it was not saved. Try a \
        lower --learning-rate.
        """
    case .modelDamaged(let reason):
      return """
        Training this model failed half-way, and it could not be put back to where it was (\(reason)). Load it again, \
        or make it anew; a run with an output folder continues with --resume.
        """
    case .batchDoesNotFit(let batch, let fitting, let reason):
      let advice =
        fitting > 0
        ? "A batch of about \(fitting) fits: --batch-size \(fitting)."
        : "Not even one image fits: use smaller images."
      return "A batch of \(batch) does not fit the device. \(advice) (\(reason))"
    case .wrongClasses(let model, let data):
      let missing = model.filter { !data.contains($0) }
      let extra = data.filter { !model.contains($0) }
      return """
        The classes differ. Only in the model: \(list(missing)). Only in the data: \(list(extra)). Give the data \
        the folders that the model was trained on.
        """
    case .cannotResume(let folder, let reason):
      return "The run in \(printable(folder)) cannot be continued: \(reason)"
    case .notMergeable(let adapter, let reason):
      return "The adapter \(adapter) cannot be merged: \(reason)"
    case .badOutput(let folder, let reason):
      return "\(printable(folder)) cannot be used for output: \(reason)"
    }
  }
}

private func kept(_ checkpoint: FilePath?) -> String {
  checkpoint.map { "The last good checkpoint is kept in \(printable($0))." }
    ?? "No checkpoint was written yet."
}

private func list(_ names: [String]) -> String {
  names.isEmpty
    ? "none"
    : names.prefix(8).map { printable($0) }.joined(separator: ", ") + (names.count > 8 ? ", ..." : "")
}
