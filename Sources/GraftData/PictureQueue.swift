package import Graft
package import SystemPackage

/// Pictures for prediction: several are decoded at a time, and each is handed over in its turn, broken or not.
///
/// Workers start at once, stay a few pictures ahead, and stop when the queue is let go.
package final class PictureQueue: Sendable {
  /// How pictures become a model's input.
  package struct Preparation: Sendable, Hashable {
    /// `nil` where a picture is taken as it is, and so must have the size.
    package let transform: ImageTransform?
    package let imageSize: ImageSize

    package init(transform: ImageTransform?, imageSize: ImageSize) {
      self.transform = transform
      self.imageSize = imageSize
    }
  }

  /// The pixels for each preparation, or what is wrong with the picture.
  package typealias Crops = Result<[Preparation: [UInt8]], DataError>

  private let queue: OrderedPrefetch<Crops>

  /// - Parameters:
  ///   - files: the pictures; what is known to be wrong is handed over in its turn.
  ///   - preparations: what is made of each.
  ///   - batchSize: pictures that are asked for at a time.
  ///   - options: how much of the machine to use.
  /// - Throws: ``DataError/badTransform(_:)``: the fault of no picture.
  package init(
    _ files: [Result<FilePath, DataError>], as preparations: Set<Preparation>, batchSize: Int,
    options: LoadingOptions
  ) throws(DataError) {
    for preparation in preparations { try preparation.transform?.check(imageSize: preparation.imageSize) }
    let ahead = min(options.prefetchedBatches, files.count + 1)
    queue = OrderedPrefetch(count: files.count, window: min(batchSize, max(1, files.count)) * ahead)
    let loader = PictureLoader(options)
    queue.start(workers: min(options.workers, files.count)) { job in
      .success(Self.crops(of: files[job], as: preparations, loader))
    }
  }

  private static func crops(
    of file: Result<FilePath, DataError>, as preparations: Set<Preparation>, _ loader: PictureLoader
  ) -> Crops {
    Result { () throws(DataError) in
      let path = try file.get()
      var crops: [Preparation: [UInt8]] = [:]
      for preparation in preparations {
        let size = preparation.imageSize
        crops[preparation] =
          if let transform = preparation.transform {
            try loader.evaluationCrop(path, transform, imageSize: size)
          } else {
            try loader.whole(path, imageSize: size)
          }
      }
      return crops
    }
  }

  deinit { queue.cancel() }

  /// The next picture's pixels, in the order of the files; nil after the last.
  ///
  /// - Throws: `CancellationError`.
  package func next() async throws -> Crops? { try await queue.next() }
}
