import Graft
import GraftData

/// What of a run's pictures stays in memory from pass to pass.
struct PicturePlan {
  /// Bytes that all of them take; nil where the augmentation leaves nothing the same, or a size is not known beforehand.
  private let training, validation: Int?
  private let resizesAtRandom: Bool
  private let limit: Int?

  init(_ training: ImageFolder, _ validation: ImageFolder, imageSize: ImageSize, kept: KeptPictures?) {
    self.training = training.keptBytes(imageSize: imageSize, training: true)
    self.validation = validation.keptBytes(imageSize: imageSize, training: false)
    resizesAtRandom = training.transform.resizesAtRandom(training: true)
    limit = kept?.limit
  }

  /// In words.
  var line: Message {
    let again: Message =
      resizesAtRandom
      ? """
      Training pictures: decoded in every pass, because they are cropped at random before they are resized \
      (--scaled-decoding makes large JPEG files faster)
      """ : ""
    guard let limit else {
      return resizesAtRandom ? again : "Pictures: decoded in every pass (--cache-images off)"
    }
    if resizesAtRandom { return again }
    let bound: Message = "of at most \(formatBytes(limit)) (--cache-images)"
    guard let bytes else { return "Pictures: resized once and kept in memory, \(bound)" }
    return bytes <= limit
      ? "Pictures: resized once and kept in memory, \(formatBytes(bytes)) \(bound)"
      : """
      Pictures: resized once, \(formatBytes(bytes)); those beyond \(formatBytes(limit)) (--cache-images) are decoded in \
      every pass
      """
  }

  /// What all pictures take that can be kept.
  private var bytes: Int? {
    guard let training, let validation else { return nil }
    return training + validation
  }

  /// For scripts.
  func json(scaled: Bool) -> [String: JSONValue] {
    [
      "bytes": bytes.map { .integer($0) } ?? .null, "limit": .integer(limit ?? 0),
      "kept": .bool(limit != nil && !resizesAtRandom), "scaled_decoding": .bool(scaled),
    ]
  }
}
