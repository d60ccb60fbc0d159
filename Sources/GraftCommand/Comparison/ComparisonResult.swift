import Graft
import GraftSystem

/// One finished run of a comparison: a line of `results.jsonl`.
struct ComparisonResult: Codable, Sendable {
  /// The folder of images, by its last name.
  var task: String
  /// The adapter with the settings that differ from its defaults; names the row.
  var method: String
  /// The adapter's name in the catalogue.
  var adapter: String
  /// All of the adapter's settings.
  var settings: JSONValue
  /// Whether the adapter can be folded into the backbone.
  var merges: Bool
  var seed: Int
  var conditions: Conditions
  var recipe: TrainingRecipe
  var trainableParameters: Int
  var adapterParameters: Int
  /// Multiply-accumulates an image, not merged, in units of 10^9.
  var gmac: Double
  /// Share of validation images named rightly after the last pass.
  var top1: Double
  var bestTop1: Double
  /// `nil` where a run was continued after its last step.
  var trainImagesPerSecond: Double?
  var inferenceImagesPerSecond: Double
  var peakDeviceBytes: Int
  var device: String
  var graftVersion: String
  /// When the run ended, in ISO 8601.
  var date: String
  /// The command that made it.
  var command: String

  /// Whether every figure is one that a run can give; a file from outside may hold anything.
  var isPlausible: Bool {
    (0...1).contains(top1) && (0...1e9).contains(gmac) && (0...1 << 50).contains(trainableParameters)
      && (0...1 << 60).contains(peakDeviceBytes)
      && [inferenceImagesPerSecond, trainImagesPerSecond ?? 0].allSatisfy { (0...1e12).contains($0) }
  }

  /// What all runs of one table must share: without it they cannot be compared.
  struct Conditions: Codable, Sendable, Equatable {
    var backbone: String
    var backboneHash: String
    var imageSize: ImageSize
    var classes: Int
    var trainingImages: Int
    var validationImages: Int
    /// The images' names, sizes and labels.
    var imagesHash: String

    /// What the backbone is called does not count: it may differ from version to version.
    static func == (first: Self, second: Self) -> Bool {
      first.backboneHash == second.backboneHash && first.imageSize == second.imageSize
        && first.classes == second.classes && first.trainingImages == second.trainingImages
        && first.validationImages == second.validationImages && first.imagesHash == second.imagesHash
    }

    /// What differs, in words.
    func difference(from other: Self) -> String? {
      if backboneHash != other.backboneHash { return "another backbone" }
      if imageSize != other.imageSize { return "images of \(other.imageSize) px" }
      return self == other ? nil : "other images"
    }
  }
}

/// The results of a comparison, in the order in which they came: `OUT/results.jsonl`.
struct ResultsFile {
  static let name = "results.jsonl"

  let path: FilePath
  private(set) var results: [ComparisonResult] = []

  /// Reads a folder's results; there may be none yet.
  ///
  /// - Throws: `CheckpointError` naming the line that is no result.
  init(folder: FilePath) throws {
    path = folder / Self.name
    let bytes: [UInt8]
    do { bytes = try RegularFile.read(path, atMost: 1 << 30) } catch FileFault.missing {
      return
    } catch {
      throw CheckpointError.unreadable(path: path, reason: "\(error)")
    }
    let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    for (number, line) in lines.enumerated() where !line.isEmpty {
      let result = try? JSON.value(JSONValue.self, of: Array(line)).decoded(as: ComparisonResult.self)
      if let result, result.isPlausible {
        results.append(result)
      } else {
        throw CheckpointError.malformedManifest(
          path: path, detail: "line \(number + 1) is no result of graft compare; remove it to run it again")
      }
    }
  }

  /// Adds a result; the file is replaced as a whole, so that a crash leaves the old one or the new one.
  mutating func append(_ result: ComparisonResult) throws {
    results.append(result)
    try AtomicFile.write(results.map { try JSONValue(encoding: $0).text + "\n" }.joined(), to: path)
  }

  /// The result of this run, if it is finished.
  ///
  /// - Throws: `GraftError.cannotResume` when the folder's results were made otherwise, and can share no table with it.
  func finished(_ run: ComparisonRun) throws -> ComparisonResult? {
    func refuse(_ what: String) -> GraftError {
      .cannotResume(
        folder: path,
        reason:
          "it holds results of \(what). Choose another --out, or go on with the settings it was made with.")
    }
    if let other = results.first(where: { $0.task != run.task }) {
      throw refuse("the task \"\(other.task)\"")
    }
    for result in results {
      if let difference = run.conditions.difference(from: result.conditions) { throw refuse(difference) }
      if result.method == run.label, result.recipe != run.recipe {
        throw refuse(
          "\(run.label) under another recipe (\(result.recipe.name), \(result.recipe.epochs) passes, ...)")
      }
    }
    return results.first { $0.method == run.label && $0.seed == run.seed }
  }
}
