import Graft
import Synchronization

/// One pass over a data source: its order, its workers, and the batches they fill.
///
/// The workers start with the first batch that is asked for and stop when the pass ends, when the consumer's task is
/// cancelled, or when the consumer lets go of the stream.
final class BatchPipeline: Sendable {
  /// One pass, as a trainer asks for it.
  struct Pass: Sendable {
    var epoch: Int
    var batchSize: Int
    var imageSize: ImageSize
    var seed: UInt64
    var isTraining: Bool
  }

  /// Makes the crop of a sample; nil leaves the sample out.
  typealias Load = @Sendable (_ sample: Int, _ random: inout SampleRandom) throws -> [UInt8]?

  private struct Crop: Sendable {
    var pixels: [UInt8]
    var label: Int32
    var sample: Int
  }

  private struct Progress: Sendable {
    var isStarted = false
    var batches = 0
  }

  private let pass: Pass
  private let order: [Int]
  private let labels: [Int32]
  private let workers: Int
  private let load: Load
  /// A sample's pixels are the same in every pass.
  private let isRepeatable: Bool
  private let queue: OrderedPrefetch<Crop?>
  private let progress = Mutex(Progress())

  private init(
    labels: [Int32], pass: Pass, isRepeatable: Bool, options: LoadingOptions, load: @escaping Load
  ) {
    precondition(pass.batchSize > 0, "a batch has at least one image")
    self.labels = labels
    self.pass = pass
    self.load = load
    self.isRepeatable = isRepeatable
    workers = max(1, options.workers)
    var random = SampleRandom(orderOf: pass.epoch, seed: pass.seed)
    order = pass.isTraining ? random.permutation(labels.count) : Array(labels.indices)
    let perBatch = min(pass.batchSize, max(1, labels.count))
    let ahead = min(max(1, options.prefetchedBatches), labels.count + 1)
    queue = OrderedPrefetch(count: labels.count, window: perBatch * ahead)
  }

  deinit {
    queue.cancel()
  }

  /// The batches of a pass over samples with these labels.
  static func stream(
    labels: [Int32], pass: Pass, transform: ImageTransform, options: LoadingOptions, load: @escaping Load
  ) -> AsyncThrowingStream<ImageBatch, any Error> {
    // A stream that is pulled has no buffer that could grow: what is ahead of the consumer is in the queue.
    let pipeline = BatchPipeline(
      labels: labels, pass: pass, isRepeatable: !(pass.isTraining && transform.isRandom), options: options,
      load: load)
    return AsyncThrowingStream {
      try transform.check(imageSize: pass.imageSize)
      return try await pipeline.next()
    }
  }

  private func next() async throws -> ImageBatch? {
    startOnce()
    var pixels: [UInt8] = []
    var batchLabels: [Int32] = []
    var samples: [Int] = []
    pixels.reserveCapacity(min(pass.batchSize, labels.count) * pass.imageSize.count * 3)
    do {
      while batchLabels.count < pass.batchSize, let item = try await queue.next() {
        guard let crop = item else { continue }
        pixels += crop.pixels
        batchLabels.append(crop.label)
        samples.append(crop.sample)
      }
    } catch {
      queue.cancel()
      throw error
    }
    return try finish(pixels, batchLabels, samples)
  }

  /// Decides whether what was gathered is a batch: training keeps an incomplete one only if there is no other.
  private func finish(_ pixels: [UInt8], _ batchLabels: [Int32], _ samples: [Int]) throws -> ImageBatch? {
    let before = progress.withLock { $0.batches }
    if batchLabels.isEmpty {
      if before == 0 && !labels.isEmpty { throw DataError.noReadableImage(count: labels.count) }
      return nil
    }
    if pass.isTraining && batchLabels.count < pass.batchSize && before > 0 { return nil }
    progress.withLock { $0.batches += 1 }
    return ImageBatch(
      count: batchLabels.count, imageSize: pass.imageSize, pixels: pixels, labels: batchLabels,
      identifiers: isRepeatable ? samples : [])
  }

  /// Starts the workers.
  ///
  /// They hold the queue, not the pipeline, so that letting go of the stream ends them.
  private func startOnce() {
    let isFirst = progress.withLock { progress in
      defer { progress.isStarted = true }
      return !progress.isStarted
    }
    guard isFirst else { return }
    let (order, labels, load, pass) = (order, labels, load, pass)
    queue.start(workers: min(workers, order.count)) { job in
      let sample = order[job]
      return Result {
        var random = SampleRandom(seed: pass.seed, epoch: pass.epoch, sample: sample)
        return try load(sample, &random).map { Crop(pixels: $0, label: labels[sample], sample: sample) }
      }
    }
  }
}
