/// From a picture of any size to a square crop, in training and in evaluation, as timm and torchvision do it.
///
/// Evaluation resizes and crops the centre. Training does the same, or crops at random, and may mirror.
/// Normalisation is not part of it: the device does that.
public struct ImageTransform: Codable, Sendable, Hashable {
  /// How a picture is resized before it is cropped.
  public enum Resize: Sendable, Hashable {
    /// The shorter side becomes this many pixels, the aspect ratio is kept.
    case shortestSide(Int)
    /// Both sides become this many pixels, the aspect ratio is lost.
    case squash(Int)
  }

  /// How samples between pixels are computed; both widen when shrinking (anti-aliasing), as in Pillow.
  public enum Interpolation: String, Codable, Sendable, Hashable, CaseIterable {
    /// A triangle over the neighbouring samples.
    case bilinear
    /// Keys' cubic convolution with a = -1/2.
    case bicubic
  }

  /// Where training crops.
  public enum TrainingCrop: String, Codable, Sendable, Hashable, CaseIterable {
    /// The centre, exactly as in evaluation.
    case none
    /// Anywhere in the resized picture.
    case random
    /// A random part of the picture (8 to 100 % of its area, aspect ratio 3/4 to 4/3), resized to the crop's
    /// size. The resize step is left out.
    case randomResized = "random_resized"
  }

  /// The step before the crop.
  public var resize: Resize
  /// The interpolation of every resize.
  public var interpolation: Interpolation
  /// Where training crops; evaluation crops the centre.
  public var trainingCrop: TrainingCrop
  /// Probability that training mirrors a picture left to right, 0 to 1.
  public var flipProbability: Double

  /// Creates a transform; without the last two arguments training sees what evaluation sees.
  public init(
    resize: Resize, interpolation: Interpolation = .bicubic, trainingCrop: TrainingCrop = .none,
    flipProbability: Double = 0
  ) {
    self.resize = resize
    self.interpolation = interpolation
    self.trainingCrop = trainingCrop
    self.flipProbability = flipProbability
  }

  /// Squashes pictures to the crop's size: nothing is cut away, nothing is random.
  public static func squash(imageSize: Int, interpolation: Interpolation = .bicubic) -> ImageTransform {
    ImageTransform(resize: .squash(imageSize), interpolation: interpolation)
  }

  /// ILA's recipe: squash to `int(1.34 * imageSize)`, random crop and mirror; evaluation crops the centre.
  public static func ila(imageSize: Int) -> ImageTransform {
    ImageTransform(
      resize: .squash(Int(1.34 * Double(imageSize))), trainingCrop: .random, flipProbability: 0.5)
  }

  /// timm's evaluation: the shorter side to `floor(imageSize / cropFraction)`, then the centre.
  ///
  /// - Parameters:
  ///   - imageSize: Side of the crop in pixels.
  ///   - cropFraction: timm's `crop_pct`, above 0 and at most 1.
  ///   - interpolation: The backbone's own, as in its timm configuration.
  ///   - trainingCrop: Where training crops.
  ///   - flipProbability: Probability that training mirrors a picture.
  public static func timm(
    imageSize: Int, cropFraction: Double = 0.875, interpolation: Interpolation = .bicubic,
    trainingCrop: TrainingCrop = .none, flipProbability: Double = 0
  ) -> ImageTransform {
    precondition(cropFraction > 0 && cropFraction <= 1, "a crop fraction is above 0 and at most 1")
    return ImageTransform(
      resize: .shortestSide(Int(Double(imageSize) / cropFraction)), interpolation: interpolation,
      trainingCrop: trainingCrop, flipProbability: flipProbability)
  }

  /// Whether training sees other pixels in every pass.
  package var isRandom: Bool { trainingCrop != .none || flipProbability > 0 }

  /// Checks that the transform can make crops of a size.
  ///
  /// - Throws: ``DataError/badTransform(_:)`` when the resized picture would be smaller than the crop, or a number
  ///   is out of its range.
  public func check(imageSize: Int) throws(DataError) {
    let limit = 16_384
    guard (1...limit).contains(imageSize) else {
      throw .badTransform("crops of \(imageSize) pixels were asked for; 1 to \(limit) are possible")
    }
    guard resize.pixels >= imageSize, resize.pixels <= limit else {
      throw .badTransform(
        "it resizes to \(resize.pixels) pixels, and crops of \(imageSize) were asked for; "
          + "resize to \(imageSize) up to \(limit)")
    }
    guard (0...1).contains(flipProbability) else {
      throw .badTransform("the flip probability is \(flipProbability); give 0 to 1")
    }
  }
}

extension ImageTransform.Resize: Codable {
  /// The number of pixels that one or both sides become.
  var pixels: Int {
    switch self {
    case .shortestSide(let pixels), .squash(let pixels): pixels
    }
  }

  private enum CodingKeys: String, CodingKey {
    case mode
    case pixels
  }

  /// Reads `{"mode": "squash", "pixels": 300}`; the other mode is `shortest_side`.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    let pixels = try container.decode(Int.self, forKey: .pixels)
    switch try container.decode(String.self, forKey: .mode) {
    case "shortest_side": self = .shortestSide(pixels)
    case "squash": self = .squash(pixels)
    case let mode:
      throw DecodingError.dataCorruptedError(
        forKey: .mode, in: container,
        debugDescription: "'\(mode)' is no way to resize; give 'shortest_side' or 'squash'")
    }
  }

  /// Writes `{"mode": "squash", "pixels": 300}`.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    switch self {
    case .shortestSide: try container.encode("shortest_side", forKey: .mode)
    case .squash: try container.encode("squash", forKey: .mode)
    }
    try container.encode(pixels, forKey: .pixels)
  }
}
