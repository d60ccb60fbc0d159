import Graft
import GraftSystem

/// Finished runs, put in order for people: a section a task, a row a method.
struct ComparisonReport {
  /// The page's file name.
  static let pageName = "report.html"

  /// Runs that can be compared with each other: the same images on the same backbone.
  struct Section {
    let task: String
    let conditions: ComparisonResult.Conditions
    /// Best accuracy first.
    let rows: [Row]
  }

  /// One method over its seeds.
  struct Row {
    let label: String
    let publication: Publication?
    let merges: Bool
    let trainableParameters: Int
    let gmac: Double
    /// Accuracies in percent.
    let top1: Spread
    let trainImagesPerSecond: Double?
    let inferenceImagesPerSecond: Double
    let peakDeviceBytes: Int
    let recipe: TrainingRecipe
  }

  /// Some numbers: one a seed.
  struct Spread {
    let values: [Double]
    var mean: Double { values.reduce(0, +) / Double(max(values.count, 1)) }
    var range: ClosedRange<Double> { (values.min() ?? 0)...(values.max() ?? 0) }
    /// Of the sample; `nil` for less than two values.
    var deviation: Double? {
      guard values.count > 1 else { return nil }
      let mean = mean
      return (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1)).squareRoot()
    }

    var text: String { format(mean) + (deviation.map { " ± " + format($0) } ?? "") }
  }

  let sections: [Section]
  let devices: [String]
  let commands: [String]
  let versions: [String]
  /// The last run's day.
  let date: String

  /// - Throws: `CheckpointError` when there is nothing to report.
  init(_ results: [ComparisonResult]) throws {
    func distinct<Value: Equatable>(_ values: [Value]) -> [Value] {
      values.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }
    sections = distinct(results.map { Key(task: $0.task, conditions: $0.conditions) }).map { key in
      let mine = results.filter { $0.task == key.task && $0.conditions == key.conditions }
      let rows = distinct(mine.map(\.method)).flatMap { method in
        let recipes = distinct(mine.filter { $0.method == method }.map(\.recipe))
        return recipes.map { recipe in
          Row(
            mine.filter { $0.method == method && $0.recipe == recipe },
            label: recipes.count == 1 ? method : "\(method) (\(recipe.summary))")
        }
      }
      return Section(
        task: key.task, conditions: key.conditions, rows: rows.sorted { $0.top1.mean > $1.top1.mean })
    }
    devices = distinct(results.map(\.device))
    commands = distinct(results.map(\.command))
    versions = distinct(results.map(\.graftVersion))
    date = String((results.map(\.date).max() ?? "").prefix(10))
  }

  private struct Key: Equatable {
    let task: String
    let conditions: ComparisonResult.Conditions
  }

  /// Writes `report.html` and `report.md`.
  func write(to folder: FilePath) throws {
    try AtomicFile.write(ReportPage(self).html, to: folder / Self.pageName)
    try AtomicFile.write(markdown, to: folder / "report.md")
  }
}

extension ComparisonReport.Row {
  fileprivate init(_ runs: [ComparisonResult], label: String) {
    // A seed that was run twice, in two folders, counts once.
    var seeds = Set<Int>()
    let runs = runs.filter { seeds.insert($0.seed).inserted }
    let first = runs[0]
    self.label = label
    publication = Publication(adapter: first.adapter)
    merges = first.merges
    trainableParameters = first.trainableParameters
    gmac = first.gmac
    top1 = .init(values: runs.sorted { $0.seed < $1.seed }.map { 100 * $0.top1 })
    // Whatever else the machine does makes a run slower, never faster.
    trainImagesPerSecond = runs.compactMap(\.trainImagesPerSecond).max()
    inferenceImagesPerSecond = runs.map(\.inferenceImagesPerSecond).max() ?? 0
    peakDeviceBytes = runs.map(\.peakDeviceBytes).max() ?? 0
    recipe = first.recipe
  }
}

extension ComparisonReport.Row {
  /// Two decimals, or what a small model needs.
  var gmacText: String { format(gmac, gmac < 0.1 ? 4 : 2) }
}

extension ComparisonReport.Section {
  /// The task and what it was run on, in one line.
  var title: String { "\(task) on \(conditions.backbone) at \(conditions.imageSize) px" }

  /// What there was to learn.
  var subtitle: String {
    "\(grouped(conditions.trainingImages)) training and \(grouped(conditions.validationImages)) validation images of "
      + "\(grouped(conditions.classes)) classes"
  }
}

extension TrainingRecipe {
  /// Name and length.
  fileprivate var summary: String { "\(name), \(epochs) \(epochs == 1 ? "pass" : "passes")" }
}

/// A column of the table, for every form in which the table is written.
struct ReportColumn: Sendable {
  let title: String
  /// The title on a terminal; a column without one is left out there.
  var brief: String?
  var isNumber = true
  let text: @Sendable (ComparisonReport.Row) -> String
  /// What rows are sorted by; by default the text.
  var value: (@Sendable (ComparisonReport.Row) -> Double?)?
  var address: @Sendable (ComparisonReport.Row) -> String? = { _ in nil }

  static let all: [ReportColumn] = [
    .init(title: "Method", brief: "method", isNumber: false, text: { $0.label }),
    .init(
      title: "Paper (arXiv)", isNumber: false, text: { $0.publication.map(\.arXiv) ?? "–" },
      address: { $0.publication?.address }),
    .init(
      title: "Trainable parameters", brief: "trainable", text: { grouped($0.trainableParameters) },
      value: { Double($0.trainableParameters) }),
    .init(title: "GMAC", brief: "GMAC", text: { $0.gmacText }, value: { $0.gmac }),
    .init(title: "Merges", isNumber: false, text: { $0.merges ? "yes" : "no" }),
    .init(title: "Top-1, %", brief: "top-1, %", text: { $0.top1.text }, value: { $0.top1.mean }),
    .init(
      title: "Seeds", brief: "seeds", text: { "\($0.top1.values.count)" },
      value: { Double($0.top1.values.count) }),
    .init(
      title: "Training images/s", brief: "train/s",
      text: { $0.trainImagesPerSecond.map { format($0) } ?? "–" },
      value: { $0.trainImagesPerSecond }),
    .init(
      title: "Inference images/s", brief: "infer/s", text: { format($0.inferenceImagesPerSecond) },
      value: { $0.inferenceImagesPerSecond }),
    .init(
      title: "Peak memory", brief: "memory", text: { formatMemory($0.peakDeviceBytes) },
      value: { Double($0.peakDeviceBytes) }),
    .init(title: "Recipe, passes", isNumber: false, text: { "\($0.recipe.name), \($0.recipe.epochs)" }),
  ]

  /// What the columns mean, for below the table.
  static let notes = """
    Top-1 is the mean over the seeds and, after ±, their standard deviation, on the validation images after the last \
    pass; whiskers in the plot reach from the worst seed to the best. GMAC are 10⁹ multiply-accumulates an image, not \
    merged and without the head; a method that merges costs what the linear probe costs once it is merged. Trainable \
    parameters include the head. Speeds are those of the fastest seed, decoding the images included; the linear probe \
    trains on features that are computed once. Peak memory is the device's, backbone included.
    """
}

private func formatMemory(_ bytes: Int) -> String {
  "\(grouped(Int((Double(bytes) / 1_048_576).rounded()))) MiB"
}
