public import Graft
import GraftSystem
import Synchronization
public import SystemPackage

/// A folder of pictures, one sub-folder a class, as torchvision's ImageFolder: `DIR/CLASS/picture.jpg`.
///
/// Classes and pictures are sorted by name; sub-folders of a class belong to it; hidden files are ignored. The order
/// of a pass and the augmentation of a picture depend on the seed, the number of the pass and the picture alone.
///
/// Pixels are what Pillow's `convert("RGB")` gives: alpha, gamma, colour profiles and the EXIF orientation are ignored;
/// 16-bit channels keep their high byte (16-bit grey too, which Pillow clips to white).
public struct ImageFolder: BatchSource {
  /// One picture of the folder.
  public struct Sample: Sendable, Hashable {
    /// Where the picture is.
    public let path: FilePath
    /// Index of its class.
    public let label: Int32
  }

  /// The folder.
  public let directory: FilePath
  /// Names of the classes, sorted; a label is an index into this list.
  public let classNames: [String]
  /// The pictures in the order of evaluation: by class, then by path.
  public private(set) var samples: [Sample]
  /// How many files of class folders were left out because no decoder reads them, by ending in lower case.
  ///
  /// An empty ending stands for none; hidden files do not count.
  public let leftOut: [String: Int]
  /// How pictures become crops.
  public let transform: ImageTransform

  /// Number of pictures, broken ones included.
  public var count: Int { samples.count }

  /// A hash of every picture's name below the folder, size in bytes and class, and of whether decoding is scaled; their
  /// contents are not read.
  public var fingerprint: String {
    var hash = FNV1a()
    if options.scaledDecoding { hash.add("scaled decoding".utf8) }
    for sample in samples {
      hash.add(sample.path.bytes.dropFirst(directory.bytes.count))
      // Of a link its own size, as in runs of every version.
      hash.add((try? Stat(sample.path, followTargetSymlink: false)).map { Int($0.size) } ?? -1)
      hash.add(Int(sample.label))
    }
    return hash.hexadecimal
  }

  private let onBrokenImage: BrokenImagePolicy
  private let options: LoadingOptions
  private let reported = ReportedFiles()

  /// Lists a folder; no picture is opened yet.
  ///
  /// - Parameters:
  ///   - directory: The folder that holds the class folders.
  ///   - transform: How pictures become crops.
  ///   - onBrokenImage: What happens when a picture cannot be decoded.
  ///   - options: How much of the machine to use.
  /// - Throws: ``DataError`` when the folder is missing or empty, a class has no pictures, there is one class, two folders
  ///   spell one name in two ways, a name is no UTF-8, or something in the folder cannot be followed.
  public init(
    _ directory: FilePath, transform: ImageTransform, onBrokenImage: BrokenImagePolicy = .refuse,
    options: LoadingOptions = LoadingOptions()
  ) throws(DataError) {
    let listing = try FolderListing(directory)
    self.directory = directory
    self.transform = transform
    self.onBrokenImage = onBrokenImage
    self.options = options
    classNames = listing.classNames
    leftOut = listing.leftOut
    samples = listing.files.map { Sample(path: $0.path, label: $0.label) }
  }

  /// The folder in two halves, each picture in one of them: every class is dealt out in an order that depends on the
  /// seed and the number of its pictures alone, and the second half has the odd ones.
  ///
  /// - Throws: ``DataError/tooFewToHalve(_:)`` when no class has two pictures.
  public func halves(seed: UInt64 = 0) throws(DataError) -> (first: ImageFolder, second: ImageFolder) {
    var (first, second) = (self, self)
    (first.samples, second.samples) = ([], [])
    for label in classNames.indices {
      let members = samples.filter { $0.label == Int32(label) }
      var random = SampleRandom(orderOf: label, seed: seed)
      let chosen = Set(random.permutation(members.count).prefix(members.count / 2))
      for (index, sample) in members.enumerated() {
        if chosen.contains(index) { first.samples.append(sample) } else { second.samples.append(sample) }
      }
    }
    guard !first.samples.isEmpty else { throw .tooFewToHalve(directory) }
    return (first, second)
  }

  /// What ``KeptPictures`` needs for all pictures; nil where nothing can be kept, or where it depends on their shapes.
  package func keptBytes(imageSize: ImageSize, training: Bool) -> Int? {
    if transform.resizesAtRandom(training: training) { return nil }
    guard transform.cropsAtRandom(training: training) else { return count * imageSize.count * 3 }
    guard case .squash(let size) = transform.resize else { return nil }
    return count * size.count * 3
  }

  /// The batches of one pass, decoded on other threads, at most a few ahead of the consumer.
  ///
  /// A training pass is shuffled and leaves out the last incomplete batch, unless it would be the only one. An
  /// evaluation pass keeps the order of ``samples`` and every picture. The stream has one consumer; its workers stop
  /// when the consumer is cancelled or lets go of it. It throws a ``DataError`` when the transform cannot make crops
  /// of `imageSize`, and when a picture is broken and broken ones are refused.
  public func batches(
    epoch: Int, batchSize: Int, imageSize: ImageSize, seed: UInt64, training: Bool
  ) -> AsyncThrowingStream<ImageBatch, any Error> {
    let loader = PictureLoader(options)
    let (samples, transform, policy, reported) = (samples, transform, onBrokenImage, reported)
    return BatchPipeline.stream(
      labels: samples.map(\.label),
      pass: .init(
        epoch: epoch, batchSize: batchSize, imageSize: imageSize, seed: seed, isTraining: training),
      transform: transform, options: options
    ) { sample, random in
      do {
        return try loader.crop(
          samples[sample].path, transform, imageSize: imageSize, training: training, random: random)
      } catch let error as DataError {
        guard case .skip(let report) = policy, error.isOfOnePicture else { throw error }
        if reported.insert(sample) { report(error.description) }
        return nil
      }
    }
  }
}

/// The broken pictures that were named already.
private final class ReportedFiles: Sendable {
  private let samples = Mutex(Set<Int>())

  /// Whether the sample is new here.
  func insert(_ sample: Int) -> Bool {
    samples.withLock { $0.insert(sample).inserted }
  }
}
