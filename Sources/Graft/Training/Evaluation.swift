import GraftOps
import GraftRuntime
import GraftSystem

/// What a pass over labelled images showed.
public struct Evaluation: Codable, Sendable, Hashable {
  /// Share of images whose likeliest class is the right one.
  public var top1: Double
  /// Mean cross-entropy.
  public var loss: Double
  /// Number of images.
  public var count: Int
  /// Images a second, decoding included; the first batch, which compiles kernels, is left out where there are more.
  public var imagesPerSecond: Double
  /// What left at each head, in the order of depth.
  public var exits: [Exit]
  /// Mean multiply-accumulates an image, in units of 10^9: the sum of the exits' shares times their costs.
  public var meanGMAC: Double

  /// The images that left at one head.
  public struct Exit: Codable, Sendable, Hashable {
    /// Blocks below it.
    public var blocks: Int
    /// Multiply-accumulates an image up to it, in units of 10^9.
    public var gmac: Double
    /// Images that left here.
    public var count: Int
    /// How many of them were classified rightly.
    public var correct: Int
  }

  enum CodingKeys: String, CodingKey {
    case top1, loss, count, exits
    case imagesPerSecond = "images_per_second"
    case meanGMAC = "mean_gmac"
  }
}

extension GraftedModel {
  /// Classifies labelled images.
  ///
  /// - Parameters:
  ///   - source: images with labels; its classes must be the model's, in any order.
  ///   - batchSize: images at a time.
  ///   - thresholds: where images may leave early; see ``decide(_:thresholds:)``.
  ///   - progress: called with the number of images done.
  /// - Throws: ``GraftError/wrongClasses(model:data:)``, ``GraftError/badSetting(name:value:reason:)`` for thresholds
  ///   that do not fit, ``GraftError/batchDoesNotFit(batch:fitting:reason:)``, and whatever the source or the device throws.
  nonisolated(nonsending) public func evaluate(
    _ source: any BatchSource, batchSize: Int = 32, thresholds: [Double]? = nil,
    progress: (Int) -> Void = { _ in }
  ) async throws -> Evaluation {
    try await evaluate(
      source, batchSize: batchSize, thresholds: thresholds.map(exitThresholds) ?? calibration?.thresholds,
      cache: nil, progress: progress)
  }

  nonisolated(nonsending) func evaluate(
    _ source: any BatchSource, batchSize: Int, thresholds: [Double]? = nil, cache: FeatureCache?,
    progress: (Int) -> Void = { _ in }
  ) async throws -> Evaluation {
    let labels = try LabelMap(from: source, to: classes)
    var exits = summary.exits.map { Evaluation.Exit(blocks: $0.blocks, gmac: $0.gmac, count: 0, correct: 0) }
    var loss = 0.0
    var count = 0
    var timer = Throughput()
    var pending: (decisions: () throws -> [Decision], labels: [Int32])?
    func settle() throws {
      guard let (decisions, labels) = pending else { return }
      pending = nil
      for (decision, label) in zip(try decisions(), labels) {
        let logits = decision.logits
        exits[decision.exit].count += 1
        if logits.indices.max(by: { logits[$0] < logits[$1] }) == Int(label) {
          exits[decision.exit].correct += 1
        }
        loss -= Double(logSoftmax(logits, at: Int(label)))
      }
      count += labels.count
      timer.finished(labels.count)
      progress(count)
    }
    let stream = source.batches(
      epoch: 0, batchSize: batchSize, imageSize: backbone.shape.imageSize, seed: 0, training: false)
    for try await batch in stream {
      let decisions: () throws -> [Decision]
      do {
        decisions = try startDeciding(batch, thresholds: thresholds, cache: cache)
      } catch let error as RuntimeError where error.isOutOfMemory {
        let fitting = fittingBatchSize(below: batch.count) { _ = try self.logits($0) }
        throw GraftError.batchDoesNotFit(batch: batch.count, fitting: fitting, reason: "\(error)")
      }
      // The device works on this batch while the host settles the one before.
      try settle()
      pending = (decisions, labels.matched(batch).labels)
      // The clock of the images after the first batch starts when nothing of theirs is done yet.
      if count == 0 { try settle() }
    }
    try settle()
    let images = Double(max(count, 1))
    return Evaluation(
      top1: Double(exits.reduce(0) { $0 + $1.correct }) / images, loss: loss / images, count: count,
      imagesPerSecond: timer.imagesPerSecond, exits: exits,
      meanGMAC: exits.reduce(0) { $0 + $1.gmac * (Double($1.count) / images) })
  }

  /// Begins ``decide(_:thresholds:)``, so that the host can turn to something else; what comes back waits for the end.
  package func startDeciding(_ images: ImageBatch) throws -> (() throws -> [Decision]) {
    try startDeciding(images, thresholds: calibration?.thresholds, cache: nil)
  }

  /// Queues a batch's work; what comes back waits for it.
  ///
  /// With thresholds the host must look at every exit, and the work is done when this returns.
  private func startDeciding(
    _ batch: ImageBatch, thresholds: [Double]?, cache: FeatureCache?
  ) throws -> (() throws -> [Decision]) {
    if let thresholds {
      let decisions = try decide(batch, thresholds: thresholds)
      return { decisions }
    }
    let logits = try logits(of: batch, lastOnly: true, cache: cache, on: Tape())[0].floatsLater()
    let exit = exitCount - 1
    return { try self.rows(logits.wait()).map { Decision(logits: $0, exit: exit) } }
  }
}

func logSoftmax(_ logits: [Float], at index: Int) -> Float {
  log(max(softmax(logits)[index], .leastNormalMagnitude))
}

/// Images a second over a run of batches, without the first.
struct Throughput {
  private let clock = ContinuousClock()
  private var start: ContinuousClock.Instant?
  private var first: (count: Int, seconds: Double)?
  private var images = 0
  private var seconds = 0.0

  init() { start = clock.now }

  /// Restarts the clock after a pause that does not count.
  mutating func resume() { start = clock.now }

  mutating func finished(_ count: Int) {
    let now = clock.now
    let elapsed = start.map { (now - $0) / .seconds(1) } ?? 0
    start = now
    if first == nil {
      first = (count, elapsed)
    } else {
      images += count
      seconds += elapsed
    }
  }

  var imagesPerSecond: Double {
    if seconds > 0 { return Double(images) / seconds }
    guard let first, first.seconds > 0 else { return 0 }
    return Double(first.count) / first.seconds
  }
}
