import Graft
import GraftSystem

/// Where a whole comparison stands and how long it may still take.
struct ComparisonProgress {
  private let reporter: Reporter
  private let runs: Int
  private let totalWork: Int
  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant

  private var index = 0
  private var label = ""
  private var seed = 0
  private var runWork = 0
  /// Images of finished runs and of the current one, whoever trained them.
  private var done = 0.0
  private var doneBefore = 0.0
  /// Images that an earlier call of the command had trained: they tell nothing about speed.
  private var found = 0.0
  private var isFirstStep = true

  /// - Parameters:
  ///   - runs: all of the comparison, finished ones included.
  ///   - work: images that the unfinished ones pass over.
  init(runs: Int, work: Int, _ reporter: Reporter) {
    self.runs = runs
    totalWork = work
    self.reporter = reporter
    start = clock.now
  }

  /// A run begins; `index` counts from 1.
  mutating func begin(_ run: ComparisonRun, index: Int) {
    self.index = index
    (label, seed, runWork) = (run.label, run.seed, run.work)
    isFirstStep = true
    reporter.say(
      "run \(index) of \(runs): \(label), seed \(seed): \(grouped(run.summary.trainableParameters)) trainable parameters, "
        + "\(format(run.summary.gmac, 2)) GMAC, recipe \(run.recipe.name), \(run.recipe.epochs) passes")
    reporter.emit("run", fields)
  }

  /// A run is finished or has failed: its work is done either way.
  mutating func end() {
    doneBefore += Double(runWork)
    done = doneBefore
  }

  mutating func show(_ event: Trainer.Event) {
    switch event {
    case .step(let epoch, let step, let steps, let loss, let rate, let speed):
      let share = Double(runWork) / Double(max(steps, 1))
      if isFirstStep { found += share * Double(step - 1) }
      isFirstStep = false
      done = doneBefore + share * Double(step)
      reporter.progress(
        "\(bar(Int(done), of: totalWork)) \(index)/\(runs) \(label) seed \(seed)  step \(step)/\(steps)  epoch \(epoch + 1)  "
          + "\(format(speed)) images/s  \(timeLeft)")
      emit(
        "step",
        [
          "epoch": .integer(epoch + 1), "step": .integer(step), "steps": .integer(steps),
          "loss": .number(loss), "learning_rate": .number(rate), "images_per_second": .number(speed),
        ])
    case .epoch(let epoch, let epochs, let loss, let validation):
      var text: Message = "  epoch \(epoch)/\(epochs)  training loss \(format(loss, 3))"
      var more: [String: JSONValue] = [
        "epoch": .integer(epoch), "epochs": .integer(epochs), "training_loss": .number(loss),
      ]
      if let validation {
        text += "  top-1 \(format(100 * validation.top1)) %"
        more["top1"] = .number(validation.top1)
      }
      // The bar says it already where there is one.
      if !reporter.isTerminal { reporter.say(text + "  \(timeLeft)") }
      emit("epoch", more)
    }
  }

  private var fields: [String: JSONValue] {
    ["run": .integer(index), "runs": .integer(runs), "method": .string(label), "seed": .integer(seed)]
  }

  private func emit(_ event: String, _ more: [String: JSONValue]) {
    reporter.emit(
      event,
      fields.merging(more) { $1 }.merging(secondsLeft.map { ["seconds_left": .number($0)] } ?? [:]) { $1 })
  }

  /// The rest at the speed so far; `nil` before anything is known.
  private var secondsLeft: Double? {
    let trained = done - found
    guard trained > 0 else { return nil }
    return max(0, Double(totalWork) - done) * ((clock.now - start) / .seconds(1)) / trained
  }

  private var timeLeft: String { secondsLeft.map { "\(duration($0)) left" } ?? "" }
}

/// Seconds as people say them: `45 s`, `12 min`, `3 h 5 min`.
func duration(_ seconds: Double) -> String {
  guard seconds < 1e9 else { return "long" }
  let minutes = Int((seconds / 60).rounded())
  if seconds < 90 { return "\(Int(seconds.rounded())) s" }
  return minutes < 60 ? "\(minutes) min" : "\(minutes / 60) h \(minutes % 60) min"
}
