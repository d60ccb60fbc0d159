import Graft
import GraftData
import GraftSystem

/// One run of a comparison, checked as far as possible before any training begins.
struct ComparisonRun {
  let task: String
  let label: String
  let adapter: any Adapter
  let seed: Int
  let recipe: TrainingRecipe
  let options: BackboneOptions
  let summary: ModelSummary
  let merges: Bool
  let training: ImageFolder
  let validation: ImageFolder
  let conditions: ComparisonResult.Conditions

  /// Name of the run's folder: the label, with what file names do not take in percent-encoding.
  var folderName: String {
    let name = label.utf8.map { byte in
      let character = Character(Unicode.Scalar(byte))
      let isPlain =
        character.isASCII && (character.isLetter || character.isNumber || "+-._=,:".contains(character))
      return isPlain
        ? String(character) : "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
    }
    return "\(name.joined())-seed\(seed)"
  }

  /// Images that training passes over; the unit of progress.
  var work: Int { recipe.epochs * training.count }

  /// The line of `results.jsonl`.
  func result(_ outcome: Trainer.Result, device: String, command: String) throws -> ComparisonResult {
    ComparisonResult(
      task: task, method: label, adapter: adapter.name, settings: try JSONValue(encoding: adapter),
      merges: merges, seed: seed, conditions: conditions, recipe: recipe,
      trainableParameters: summary.trainableParameters, adapterParameters: summary.adapterParameters,
      gmac: summary.gmac, top1: outcome.validation?.top1 ?? 0, bestTop1: outcome.bestTop1,
      trainImagesPerSecond: outcome.trainingImagesPerSecond > 0 ? outcome.trainingImagesPerSecond : nil,
      inferenceImagesPerSecond: outcome.validation?.imagesPerSecond ?? 0,
      peakDeviceBytes: outcome.peakDeviceBytes, device: device, graftVersion: Graft.version,
      date: Timestamp.now, command: command)
  }
}
