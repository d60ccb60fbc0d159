/// What happens when an image of a folder cannot be used.
public enum BrokenImagePolicy: Sendable {
  /// The pass ends with the ``DataError`` that names the file.
  case refuse
  /// The image is left out of every pass; `report` gets the file and the reason once, on any thread.
  ///
  /// Batches are filled up with the images that follow, so that a pass may have fewer batches than
  /// ``ImageFolder/count`` suggests.
  case skip(report: @Sendable (String) -> Void)
}
