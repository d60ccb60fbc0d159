package import GraftRuntime

/// Finds the fastest ``Tuning`` of a device by measuring, one parameter after another, within a time limit.
///
/// A candidate that does not build, does not agree with the default or writes where it must not is out, and so is one
/// that launches what another has launched. The others run in turn with the best so far, so that whatever else the
/// machine does hits both alike.
package struct Tuner {
  /// How a candidate did.
  package struct Trial: Sendable {
    package let value: String
    /// Median of its time over that of what it ran against; `nil` where it was not timed long enough.
    package var ratio: Double?
    /// Why it was not timed.
    package var rejection: String?
  }

  /// What came out for one parameter.
  package struct Finding: Sendable {
    package let operation: String
    package let parameter: String
    package let defaultValue: String
    package let value: String
    /// Median times of one run in seconds, from runs in turn.
    package let defaultSeconds: Double
    package let seconds: Double
    package let trials: [Trial]
    /// The tuning with it.
    let tuning: Tuning
  }

  package enum Event: Sendable {
    /// A candidate is about to be measured.
    case trying(operation: String, parameter: String, value: String, done: Int, total: Int)
    case finding(Finding)
  }

  package struct Outcome: Sendable {
    package var tuning: Tuning
    package var findings: [Finding] = []
    /// True where the time ran out before everything was measured.
    package var isCutShort = false
  }

  private let context: Context
  private let steps: [TuningStep]
  private let deadline: ContinuousClock.Instant
  private let shouldStop: () -> Bool
  private let clock = ContinuousClock()

  /// - Parameters:
  ///   - context: the device; its own tuning plays no part.
  ///   - steps: what to measure, in this order.
  ///   - timeLimit: after which no candidate is begun.
  ///   - shouldStop: asked between runs; `true` ends it with a `CancellationError`.
  package init(
    on context: Context, steps: [TuningStep], timeLimit: Duration,
    shouldStop: @escaping () -> Bool = { false }
  ) {
    self.context = context
    self.steps = steps
    self.shouldStop = shouldStop
    deadline = clock.now + timeLimit
  }

  /// Measures.
  ///
  /// - Throws: `RuntimeError` or ``MatmulError`` when the default itself fails on the device.
  package func run(_ onEvent: (Event) throws -> Void = { _ in }) throws -> Outcome {
    let standard = Tuning.default(for: context.traits)
    var outcome = Outcome(tuning: standard)
    var references: [String: Reference] = [:]
    var done = 0
    for (index, step) in steps.enumerated() {
      let candidates = candidates(of: step, from: outcome.tuning)
      guard !candidates.isEmpty else { continue }
      guard hasTime else { break }
      let total = steps[index...].reduce(done) { $0 + self.candidates(of: $1, from: outcome.tuning).count }
      let reference = try references[step.workload.name] ?? Reference(step.workload, standard, context)
      references[step.workload.name] = reference
      var round = try Round(step, outcome.tuning, reference, context)
      for candidate in candidates where hasTime {
        try onEvent(
          .trying(
            operation: step.workload.name, parameter: step.parameter, value: step.label(candidate),
            done: done, total: total))
        done += 1
        try round.admit(candidate, step, reference, context) { try duel($0, $1) }
      }
      guard !round.trials.isEmpty else { continue }
      let finding = try conclude(round, step)
      outcome.tuning = finding.tuning
      outcome.findings.append(finding)
      try onEvent(.finding(finding))
    }
    outcome.isCutShort = !hasTime
    return outcome
  }

  private var hasTime: Bool { clock.now < deadline }

  /// What is to be tried: within the device's limits, and not what is there already.
  private func candidates(of step: TuningStep, from tuning: Tuning) -> [Tuning] {
    let all = step.candidates(tuning, context.traits).filter { $0.fault(on: context.traits) == nil }
    return all.reduce(into: []) { if $1 != tuning && !$0.contains($1) { $0.append($1) } }
  }

  /// The candidates of a step, as far as they have run.
  private struct Round {
    let first: Contender
    var best: Contender
    var trials: [Trial] = []
    /// What was launched before, so that nothing runs against itself.
    private var seen: Set<[Launch]>
    /// What is launched anyhow.
    private let standard: Set<KernelKey>

    init(_ step: TuningStep, _ tuning: Tuning, _ reference: Reference, _ context: Context) throws {
      let launches = try reference.check(tuning, step.workload, context)
      seen = [launches]
      standard = Set(launches.map(\.kernel))
      first = try Contender(tuning, step.workload, context)
      best = first
    }

    mutating func admit(
      _ tuning: Tuning, _ step: TuningStep, _ reference: Reference, _ context: Context,
      duel: (_ champion: Contender, _ challenger: Contender) throws -> Duel
    ) throws {
      let value = step.label(tuning)
      do {
        let launches = try reference.check(tuning, step.workload, context)
        guard seen.insert(launches).inserted else { return }
        for kernel in Set(launches.map(\.kernel)).subtracting(standard) {
          try Tuner.refuseArraysInMemory(kernel, context)
        }
        let challenger = try Contender(tuning, step.workload, context)
        let duel = try duel(best, challenger)
        trials.append(Trial(value: value, ratio: duel.ratio))
        if duel.isWon { best = challenger }
      } catch let error as CancellationError {
        throw error
      } catch {
        trials.append(Trial(value: value, rejection: "\(error)"))
      }
    }
  }

  /// On a GPU registers that spill, and arrays that should be in them, are memory: such a kernel cannot be meant.
  private static func refuseArraysInMemory(_ kernel: KernelKey, _ context: Context) throws {
    guard context.traits.kind == .gpu else { return }
    let bytes = try context.privateMemory(of: kernel)
    guard bytes == 0 else { throw Disagreement.spills(kernel.function, bytes: bytes) }
  }

  /// The best of several was partly lucky: it must win once more, against the default and on new figures.
  private func conclude(_ round: Round, _ step: TuningStep) throws -> Finding {
    let isNew = round.best.tuning != round.first.tuning
    let last = try duel(round.first, round.best, pairs: isNew ? Duel.fewest...Duel.most : 1...1)
    let wins = isNew && last.isWon
    let tuning = wins ? round.best.tuning : round.first.tuning
    return Finding(
      operation: step.workload.name, parameter: step.parameter, defaultValue: step.label(round.first.tuning),
      value: step.label(tuning), defaultSeconds: last.champion,
      seconds: wins ? last.challenger : last.champion, trials: round.trials, tuning: tuning)
  }
}

// MARK: Time

extension Tuner {
  /// A tuning that is ready to run.
  private struct Contender {
    let tuning: Tuning
    let run: () throws -> [Tensor]

    init(_ tuning: Tuning, _ workload: TuningWorkload, _ context: Context) throws {
      self.tuning = tuning
      run = try workload.prepare(context.tuned(tuning))
    }
  }

  /// Times of two tunings that ran in turn.
  package struct Duel {
    /// Seconds of each run.
    var champions: [Double] = []
    var challengers: [Double] = []

    /// What a winner's time must be below, over the other's: less may be noise.
    static let margin = 0.97
    static let fewest = 5
    static let most = 9

    /// Median seconds.
    var champion: Double { median(champions) }
    var challenger: Double { median(challengers) }

    private var ratios: [Double] { zip(challengers, champions).map { $0 / $1 } }

    /// Median of the times of a pair, the challenger's over the champion's; `nil` for too few pairs.
    var ratio: Double? { ratios.isEmpty ? nil : median(ratios) }

    /// Clearly faster in the usual pair and in the quietest moment of each, and no slower but in one pair of nine.
    ///
    /// Of two that are equal on a noisy machine, one so seems the faster in 2 duels of 100.
    var isWon: Bool {
      guard ratios.count >= Self.fewest, let fastest = champions.min(), let own = challengers.min() else {
        return false
      }
      return median(ratios) < Self.margin && own < Self.margin * fastest && 9 * lost <= ratios.count
    }

    /// More pairs cannot change that it does not win.
    var isLost: Bool { 9 * lost > Self.most || (ratios.first ?? 0) > 3 }

    private var lost: Int { ratios.count { $0 >= 1 } }

    private func median(_ values: [Double]) -> Double {
      values.isEmpty ? 0 : values.sorted()[values.count / 2]
    }
  }

  /// Runs two in turn until the challenger has lost, there are enough pairs or the time is up.
  private func duel(
    _ champion: Contender, _ challenger: Contender, pairs: ClosedRange<Int> = 1...Duel.most
  ) throws -> Duel {
    // Once to warm up; then so often that the clock and the wait count for little.
    let once = try time(1, champion)
    _ = try time(1, challenger)
    let repeats = max(1, Int(0.01 / max(once, 1e-6)))
    var duel = Duel()
    while duel.champions.count < pairs.upperBound, !duel.isLost,
      hasTime || duel.champions.count < pairs.lowerBound
    {
      // The order changes, so that a machine that slows down or speeds up favours neither.
      if duel.champions.count.isMultiple(of: 2) {
        duel.champions.append(try time(repeats, champion))
        duel.challengers.append(try time(repeats, challenger))
      } else {
        duel.challengers.append(try time(repeats, challenger))
        duel.champions.append(try time(repeats, champion))
      }
    }
    return duel
  }

  /// Seconds of one run among several, from an idle queue to an idle queue.
  private func time(_ repeats: Int, _ contender: Contender) throws -> Double {
    if shouldStop() { throw CancellationError() }
    try context.finish()
    let elapsed = try clock.measure {
      for _ in 0..<repeats { _ = try contender.run() }
      try context.finish()
    }
    return elapsed / .seconds(1) / Double(repeats)
  }
}

// MARK: Truth

extension Tuner {
  /// Why a candidate's results are not used.
  private enum Disagreement: Error, CustomStringConvertible {
    case count(Int, expected: Int)
    case value(Float, expected: Float, allowed: Float)
    case overwrites(Int)
    case spills(String, bytes: Int)

    var description: String {
      switch self {
      case .count(let count, let expected): "it gives \(count) numbers instead of \(expected)"
      case .value(let value, let expected, let allowed):
        "it gives \(value) instead of \(expected); \(allowed) more or less is allowed"
      case .overwrites(let buffers): "it writes behind the end of \(buffers) buffers"
      case .spills(let kernel, let bytes):
        "\(kernel) keeps \(bytes) bytes of each work-item in memory, not in registers"
      }
    }
  }

  /// What the default computes.
  private struct Reference {
    private let results: [[Float]]

    init(_ workload: TuningWorkload, _ tuning: Tuning, _ context: Context) throws {
      results = try workload.prepare(context.tuned(tuning))().map { try $0.floats() }
    }

    /// Compares what a tuning computes, in memory that begins as NaN and is watched behind its end.
    ///
    /// - Returns: what was launched.
    func check(_ tuning: Tuning, _ workload: TuningWorkload, _ context: Context) throws -> [Launch] {
      let watched = context.tuned(tuning, isWatched: true)
      let outputs = try workload.prepare(watched)().map { try $0.floats() }
      guard outputs.count == results.count else {
        throw Disagreement.count(outputs.count, expected: results.count)
      }
      for (output, expected) in zip(outputs, results) {
        try compare(output, expected, terms: workload.terms)
      }
      let damaged = try watched.damagedBuffers()
      guard damaged == 0 else { throw Disagreement.overwrites(damaged) }
      return watched.log?.launches ?? []
    }

    /// Both may be off by about sqrt(terms) * epsilon of the largest value, each the other way; 4 leaves room.
    private func compare(_ output: [Float], _ expected: [Float], terms: Int) throws {
      guard output.count == expected.count else {
        throw Disagreement.count(output.count, expected: expected.count)
      }
      try output.withUnsafeBufferPointer { output in
        try expected.withUnsafeBufferPointer { expected in
          var most: Float = 0
          for value in expected { most = max(most, abs(value)) }
          let allowed = 8 * Float(terms).squareRoot() * .ulpOfOne * most
          // A NaN compares false.
          for index in 0..<expected.count where !(abs(output[index] - expected[index]) <= allowed) {
            throw Disagreement.value(output[index], expected: expected[index], allowed: allowed)
          }
        }
      }
    }
  }
}
