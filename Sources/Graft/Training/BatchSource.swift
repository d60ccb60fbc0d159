/// Images and labels, decoded and cropped, on their way to the device.
///
/// Pixels are 8-bit RGB in the order image, row, column, channel; the device normalises them.
public struct ImageBatch: Sendable {
  /// Number of images.
  public let count: Int
  /// Height and width of the images, in pixels.
  public let imageSize: ImageSize
  /// `count * height * width * 3` bytes.
  public let pixels: [UInt8]
  /// One class index an image; empty where nothing is known.
  public let labels: [Int32]
  /// One number an image that stands for the same pixels in every pass; empty where pixels may differ from pass to
  /// pass.
  ///
  /// What a frozen backbone makes of such an image is computed once.
  public let identifiers: [Int]

  /// Creates a batch from pixels that are already cropped to `imageSize`.
  public init(
    count: Int, imageSize: ImageSize, pixels: [UInt8], labels: [Int32] = [], identifiers: [Int] = []
  ) {
    precondition(pixels.count == count * imageSize.count * 3, "pixels do not fill the batch")
    precondition(labels.isEmpty || labels.count == count, "one label an image")
    precondition(identifiers.isEmpty || identifiers.count == count, "one identifier an image")
    self.count = count
    self.imageSize = imageSize
    self.pixels = pixels
    self.labels = labels
    self.identifiers = identifiers
  }
}

/// Where a trainer takes its images from: a folder, or an app's own pictures.
public protocol BatchSource: Sendable {
  /// Names of the classes; a label is an index into this list.
  var classNames: [String] { get }
  /// Number of images in one pass.
  var count: Int { get }
  /// Stands for the images and their labels: an interrupted run goes on only where this is what it was.
  ///
  /// Empty, the default, where a source cannot tell.
  var fingerprint: String { get }
  /// The batches of one pass.
  ///
  /// A pass's first batch may be asked for, on another thread, while the last of the pass before is still in use.
  ///
  /// - Parameters:
  ///   - epoch: Number of the pass from 0; order and augmentation depend on it and on `seed` alone, so that a
  ///     resumed run sees the same batches.
  ///   - batchSize: Images a batch.
  ///   - imageSize: Height and width of the images, in pixels.
  ///   - seed: The run's seed.
  ///   - training: Shuffles, augments and drops the last incomplete batch.
  func batches(
    epoch: Int, batchSize: Int, imageSize: ImageSize, seed: UInt64, training: Bool
  ) -> AsyncThrowingStream<ImageBatch, any Error>
}

extension BatchSource {
  /// Empty: nothing is known of the images.
  public var fingerprint: String { "" }
}

/// A hash that is the same on every platform and in every run (Fowler, Noll and Vo, 1a, 64 bits); it guards against
/// mistakes, not against malice.
package struct FNV1a {
  package private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

  package init() {}

  package mutating func add(_ bytes: some Sequence<UInt8>) {
    for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
  }

  package mutating func add(_ number: Int) {
    withUnsafeBytes(of: UInt64(bitPattern: Int64(number)).littleEndian) { add($0) }
  }

  package var hexadecimal: String { String(value, radix: 16) }
}
