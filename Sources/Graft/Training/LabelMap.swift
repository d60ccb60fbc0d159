/// How a source's labels count among a model's classes: they are matched by name.
///
/// Names are equal in any spelling of Unicode (a file system may write an accent as one character or as two), and their
/// order does not matter: what a folder is sorted by can differ from one copy of a data set to another.
struct LabelMap {
  /// The model's label for each of the source's; nil where they are the same.
  private let labels: [Int32]?

  /// - Throws: ``GraftError/wrongClasses(model:data:)`` where one has a class that the other lacks.
  init(from source: any BatchSource, to classes: [String]) throws(GraftError) {
    guard source.classNames != classes else {
      labels = nil
      return
    }
    let places = Dictionary(zip(classes, 0...)) { first, _ in first }
    let found = source.classNames.compactMap { places[$0] }
    guard found.count == source.classNames.count, Set(found).count == classes.count else {
      throw .wrongClasses(model: classes, data: source.classNames)
    }
    labels = found.map { Int32($0) }
  }

  /// The batch with the model's labels.
  func matched(_ batch: ImageBatch) -> ImageBatch {
    guard let labels else { return batch }
    return ImageBatch(
      count: batch.count, imageSize: batch.imageSize, pixels: batch.pixels,
      labels: batch.labels.map { labels[Int($0)] }, identifiers: batch.identifiers)
  }

  /// What stands for a source's images and their labels here.
  func fingerprint(of source: any BatchSource) -> String {
    let own = source.fingerprint
    guard let labels, !own.isEmpty else { return own }
    return own + ":" + labels.map(String.init).joined(separator: ",")
  }
}
