import GraftSystem

/// How much a data source may use of the machine.
public struct LoadingOptions: Sendable, Hashable {
  /// Images that are decoded at the same time, at least 1.
  public var workers: Int
  /// Batches that are made ready ahead of the one the consumer holds, at least 1.
  public var prefetchedBatches: Int
  /// Largest picture that is decoded, in pixels; a larger one counts as broken.
  public var maximumPixels: Int

  /// Creates options; the default uses every core but one, two batches ahead, and 50 megapixels an image.
  public init(workers: Int? = nil, prefetchedBatches: Int = 2, maximumPixels: Int = 50_000_000) {
    self.workers = max(1, workers ?? processorCount - 1)
    self.prefetchedBatches = max(1, prefetchedBatches)
    self.maximumPixels = maximumPixels
  }
}
