import Foundation
import GraftOps
import GraftRuntime

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

  enum CodingKeys: String, CodingKey {
    case top1, loss, count
    case imagesPerSecond = "images_per_second"
  }
}

extension GraftedModel {
  /// Classifies labelled images.
  ///
  /// - Parameters:
  ///   - source: images with labels; its classes must be the model's.
  ///   - batchSize: images at a time.
  ///   - progress: called with the number of images done.
  /// - Throws: ``GraftError/wrongClasses(model:data:)``, ``GraftError/batchDoesNotFit(batch:fitting:reason:)``, and whatever the source or the device throws.
  nonisolated(nonsending) public func evaluate(
    _ source: any BatchSource, batchSize: Int = 32, progress: (Int) -> Void = { _ in }
  ) async throws -> Evaluation {
    try await evaluate(source, batchSize: batchSize, cache: nil, progress: progress)
  }

  nonisolated(nonsending) func evaluate(
    _ source: any BatchSource, batchSize: Int, cache: FeatureCache?, progress: (Int) -> Void = { _ in }
  ) async throws -> Evaluation {
    guard source.classNames == classes else {
      throw GraftError.wrongClasses(model: classes, data: source.classNames)
    }
    var correct = 0
    var loss = 0.0
    var count = 0
    var timer = Throughput()
    var pending: (logits: PendingFloats, labels: [Int32])?
    func settle() throws {
      guard let (logits, labels) = pending else { return }
      let values = try logits.wait()
      for (row, label) in labels.enumerated() {
        let row = Array(values[row * classes.count..<(row + 1) * classes.count])
        if row.indices.max(by: { row[$0] < row[$1] }) == Int(label) { correct += 1 }
        loss -= Double(logSoftmax(row, at: Int(label)))
      }
      count += labels.count
      timer.finished(labels.count)
      progress(count)
    }
    let stream = source.batches(
      epoch: 0, batchSize: batchSize, imageSize: backbone.shape.imageSize, seed: 0, training: false)
    for try await batch in stream {
      let logits: PendingFloats
      do {
        logits = try self.logits(of: batch, cache: cache, on: Tape()).floatsLater()
      } catch let error as RuntimeError where error.isOutOfMemory {
        let fitting = fittingBatchSize(below: batch.count) { _ = try self.logits($0) }
        throw GraftError.batchDoesNotFit(batch: batch.count, fitting: fitting, reason: "\(error)")
      }
      // The device works on this batch while the host settles the one before.
      try settle()
      pending = (logits, batch.labels)
    }
    try settle()
    return Evaluation(
      top1: Double(correct) / Double(max(count, 1)), loss: loss / Double(max(count, 1)), count: count,
      imagesPerSecond: timer.imagesPerSecond)
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
