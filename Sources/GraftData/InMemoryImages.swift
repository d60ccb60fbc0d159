public import Graft

/// An app's own pictures, already decoded, as a source of batches.
public struct InMemoryImages: BatchSource {
  /// Names of the classes; a label is an index into this list.
  public let classNames: [String]
  /// Number of pictures.
  public var count: Int { images.count }

  /// A hash of every picture's size, pixels and class.
  public var fingerprint: String {
    var hash = FNV1a()
    for (image, label) in zip(images, labels) {
      hash.add(image.width)
      hash.add(image.height)
      hash.add(image.pixels)
      hash.add(Int(label))
    }
    return hash.hexadecimal
  }

  private let images: [RGBImage]
  private let labels: [Int32]
  private let transform: ImageTransform
  private let options: LoadingOptions

  /// Creates a source from pictures of any sizes.
  ///
  /// - Parameters:
  ///   - images: The pictures.
  ///   - labels: One class index a picture.
  ///   - classNames: Names of the classes, at least two.
  ///   - transform: How pictures become crops.
  ///   - options: How much of the machine to use.
  /// - Throws: ``DataError/badPixels(_:)`` when there is no picture or the labels do not fit, and
  ///   ``DataError/oneClass(source:name:)`` when there is one class.
  public init(
    _ images: [RGBImage], labels: [Int], classNames: [String], transform: ImageTransform,
    options: LoadingOptions = LoadingOptions()
  ) throws(DataError) {
    guard !images.isEmpty else { throw .badPixels("there is no image") }
    guard images.count == labels.count else {
      throw .badPixels("there are \(images.count) images and \(labels.count) labels")
    }
    if classNames.count == 1 { throw .oneClass(source: "The list of classes", name: classNames[0]) }
    if let wrong = labels.first(where: { !classNames.indices.contains($0) }) {
      throw .badPixels("label \(wrong) is no index into \(classNames.count) class names")
    }
    self.images = images
    self.labels = labels.map { Int32($0) }
    self.classNames = classNames
    self.transform = transform
    self.options = options
  }

  /// The batches of one pass; order, augmentation and incomplete batches as in ``ImageFolder``.
  public func batches(
    epoch: Int, batchSize: Int, imageSize: ImageSize, seed: UInt64, training: Bool
  ) -> AsyncThrowingStream<ImageBatch, any Error> {
    let (images, transform) = (images, transform)
    return BatchPipeline.stream(
      labels: labels,
      pass: .init(
        epoch: epoch, batchSize: batchSize, imageSize: imageSize, seed: seed, isTraining: training),
      transform: transform, options: options
    ) { sample, random in
      transform.crop(images[sample], imageSize: imageSize, training: training, random: &random)
    }
  }
}
