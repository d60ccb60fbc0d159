import GraftSystem

/// How much a data source may use of the machine.
public struct LoadingOptions: Sendable, Hashable {
  /// Images that are decoded at the same time, each on a thread of its own, at least 1.
  public var workers: Int
  /// Batches that are made ready ahead of the one the consumer holds, at least 1.
  public var prefetchedBatches: Int
  /// Largest picture that is decoded, in pixels; a larger one counts as broken.
  ///
  /// Each worker holds a picture of its own, in 3 bytes a pixel. While a progressive JPEG or 16-bit PNG file is decoded it
  /// takes up to 9, and 7 with a lossless WebP file.
  public var maximumPixels: Int

  /// Whether a JPEG is decoded to a half, a quarter or an eighth of its size where that leaves at least twice the size, on
  /// either axis, of what it is resized to.
  ///
  /// It takes a fraction of the time, and pixels differ a little from the exact ones.
  public var scaledDecoding: Bool

  /// Where pictures stay from pass to pass; nil, the default, decodes them in every pass.
  public var kept: KeptPictures?

  /// The most that Pillow reads: 179 megapixels, for which a worker needs 0.54 GB, and up to 1.6 GB while decoding.
  public static let defaultMaximumPixels = 178_956_970

  /// Creates options; the default uses every core, two batches ahead, and 179 megapixels an image.
  public init(
    workers: Int? = nil, prefetchedBatches: Int = 2, maximumPixels: Int = LoadingOptions.defaultMaximumPixels,
    scaledDecoding: Bool = false, kept: KeptPictures? = nil
  ) {
    self.workers = max(1, workers ?? processorCount)
    self.prefetchedBatches = max(1, prefetchedBatches)
    self.maximumPixels = maximumPixels
    self.scaledDecoding = scaledDecoding
    self.kept = kept
  }
}
