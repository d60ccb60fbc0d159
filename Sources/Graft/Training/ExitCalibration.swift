import GraftOps
import GraftRuntime
import GraftSystem

/// Confidence thresholds that keep the mean cost of an image within a budget, and what they were found on.
public struct ExitCalibration: Codable, Sendable, Hashable {
  /// One for each exit but the last: the least confidence with which an image leaves there.
  public let thresholds: [Double]
  /// The budget: mean multiply-accumulates an image, in units of 10^9.
  public let budget: Double
  /// How many images they were found on.
  public let images: Int
  /// Which images, in words; never report an accuracy on them.
  public let source: String

  /// Thresholds that were found elsewhere.
  public init(thresholds: [Double], budget: Double, images: Int, source: String) {
    self.thresholds = thresholds
    self.budget = budget
    self.images = images
    self.source = source
  }

  enum CodingKeys: String, CodingKey {
    case thresholds
    case budget = "budget_gmac"
    case images, source
  }

  /// A threshold that no image reaches.
  static let closed = 2.0

  /// The rule of MSDNet (arXiv 1703.09844, official code, `dynamic_eval_find_threshold`).
  ///
  /// A share p_e proportional to q^e of all images leaves at exit e; q follows by bisection from the budget: sum_e p_e
  /// cost_e = budget. The exits are walked in order: of the images that are still there the quota's surest leave, and
  /// the confidence of the last of them is the threshold. Quotas are rounded up, cumulatively, so that the mean cost of
  /// the calibrating images is at most the budget.
  ///
  /// - Parameters:
  ///   - confidences: of each image at each exit, the last included.
  ///   - costs: of an image that leaves at each exit, rising.
  ///   - budget: mean cost, in the costs' unit; from the last cost on nothing leaves early.
  static func thresholds(confidences: [[Double]], costs: [Double], budget: Double) -> [Double] {
    let early = costs.count - 1
    guard budget < costs[early] else { return [Double](repeating: closed, count: early) }
    let shares = shares(costs: costs, budget: budget)
    var alive = Array(confidences.indices)
    var planned = 0.0
    return (0..<early).map { exit in
      planned += shares[exit]
      // What rounding leaves over must not cost an image.
      let gone = Int((planned * Double(confidences.count) - 1e-9).rounded(.up))
      let quota = min(gone - (confidences.count - alive.count), alive.count)
      guard quota > 0 else { return closed }
      let threshold = alive.map { confidences[$0][exit] }.sorted(by: >)[quota - 1]
      alive.removeAll { confidences[$0][exit] >= threshold }
      return threshold
    }
  }

  /// Shares proportional to q^e whose mean cost is the budget.
  static func shares(costs: [Double], budget: Double) -> [Double] {
    func shares(logQ: Double) -> [Double] {
      let exponents = costs.indices.map { Double($0) * logQ }
      let most = exponents.max() ?? 0
      let powers = exponents.map { exp($0 - most) }
      let sum = powers.reduce(0, +)
      return powers.map { $0 / sum }
    }
    func mean(_ logQ: Double) -> Double { zip(shares(logQ: logQ), costs).reduce(0) { $0 + $1.0 * $1.1 } }
    var (low, high) = (-50.0, 50.0)
    for _ in 0..<200 {
      let middle = (low + high) / 2
      if mean(middle) > budget { high = middle } else { low = middle }
    }
    return shares(logQ: low)
  }
}

extension GraftedModel {
  /// Finds thresholds that keep the mean cost within a budget, on images that serve nothing else.
  ///
  /// The model does not change; assign the result to ``calibration`` to use it.
  ///
  /// - Parameters:
  ///   - source: held-out images; labels are not looked at.
  ///   - budget: mean multiply-accumulates an image, in units of 10^9; see ``ModelSummary/exits``.
  ///   - name: what to call the images in the result.
  ///   - batchSize: images at a time.
  ///   - progress: called with the number of images done.
  /// - Throws: ``GraftError/badSetting(name:value:reason:)``, before anything is computed, for a model without early
  ///   exits and for a budget below the first exit; whatever the source or the device throws.
  nonisolated(nonsending) public func calibrate(
    on source: any BatchSource, budget: Double, named name: String, batchSize: Int = 32,
    progress: (Int) -> Void = { _ in }
  ) async throws -> ExitCalibration {
    try checkExitBudget(budget)
    var confidences: [[Double]] = []
    let stream = source.batches(
      epoch: 0, batchSize: batchSize, imageSize: backbone.shape.imageSize, seed: 0, training: false)
    for try await batch in stream {
      let heads = try logits(of: batch, lastOnly: false, on: Tape()).map {
        try rows($0.floats()).map(confidence)
      }
      confidences += (0..<batch.count).map { image in heads.map { $0[image] } }
      progress(confidences.count)
    }
    let thresholds = ExitCalibration.thresholds(
      confidences: confidences, costs: summary.exits.map(\.gmac), budget: budget)
    return ExitCalibration(thresholds: thresholds, budget: budget, images: confidences.count, source: name)
  }

  /// Refuses a budget that no thresholds can meet.
  ///
  /// - Throws: ``GraftError/badSetting(name:value:reason:)``.
  public func checkExitBudget(_ budget: Double) throws {
    func refuse(_ reason: String) -> GraftError {
      .badSetting(name: "budget", value: "\(budget)", reason: reason)
    }
    let first = summary.exits[0]
    guard exitCount > 1 else { throw refuse("the model has no early exits; train one with the adapter dyn.") }
    guard budget >= first.gmac else {
      throw refuse(
        """
        the first exit, after block \(first.blocks), costs \(first.gmac) GMAC already; the budget must be between that \
        and \(summary.gmac).
        """)
    }
  }
}
