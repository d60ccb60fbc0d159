public import Graft

/// From a picture of any size to a crop of one size, in training and in evaluation, as timm and torchvision do it.
///
/// Evaluation resizes and crops the centre. Training does the same, or crops at random, and may mirror.
/// Normalisation is not part of it: the device does that.
public struct ImageTransform: Codable, Sendable, Hashable {
  /// How a picture is resized before it is cropped.
  public enum Resize: Sendable, Hashable {
    /// The picture just covers this size, its aspect ratio is kept: both sides are multiplied by
    /// `max(height / own height, width / own width)`.
    ///
    /// For a square the shorter side becomes that many pixels, and the longer one's fraction is cut off, as in
    /// torchvision. Otherwise both are rounded, a half to the even number, as in timm.
    case shortestSide(ImageSize)
    /// The picture becomes this size, its aspect ratio is lost.
    case squash(ImageSize)
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
    /// A random part of the picture (8 to 100 % of its area, aspect ratio 3/4 to 4/3 of the crop's), resized to the
    /// crop's size. The resize step is left out.
    ///
    /// timm and torchvision draw ratios of 3/4 to 4/3 for crops that are no square, too, and so distort them more.
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
  public static func squash(imageSize: ImageSize, interpolation: Interpolation = .bicubic) -> ImageTransform {
    ImageTransform(resize: .squash(imageSize), interpolation: interpolation)
  }

  /// ILA's recipe: squash each side to `int(1.34 * side)`, random crop and mirror; evaluation crops the centre.
  public static func ila(imageSize: ImageSize) -> ImageTransform {
    ImageTransform(
      resize: .squash(imageSize.map { Int(1.34 * Double($0)) }), trainingCrop: .random, flipProbability: 0.5)
  }

  /// timm's evaluation: the picture covers `floor(side / cropFraction)` on both sides, then the centre is cut out.
  ///
  /// - Parameters:
  ///   - imageSize: Height and width of the crop, in pixels.
  ///   - cropFraction: timm's `crop_pct`, above 0 and at most 1.
  ///   - interpolation: The backbone's own, as in its timm configuration.
  ///   - trainingCrop: Where training crops.
  ///   - flipProbability: Probability that training mirrors a picture.
  public static func timm(
    imageSize: ImageSize, cropFraction: Double = 0.875, interpolation: Interpolation = .bicubic,
    trainingCrop: TrainingCrop = .none, flipProbability: Double = 0
  ) -> ImageTransform {
    precondition(cropFraction > 0 && cropFraction <= 1, "a crop fraction is above 0 and at most 1")
    return ImageTransform(
      resize: .shortestSide(imageSize.map { Int(Double($0) / cropFraction) }), interpolation: interpolation,
      trainingCrop: trainingCrop, flipProbability: flipProbability)
  }

  /// Whether training sees other pixels in every pass.
  package var isRandom: Bool { trainingCrop != .none || flipProbability > 0 }

  /// Checks that the transform can make crops of a size.
  ///
  /// - Throws: ``DataError/badTransform(_:)`` when the resized picture would be smaller than the crop, or a number
  ///   is out of its range.
  public func check(imageSize: ImageSize) throws(DataError) {
    let limit = 16_384
    func fits(_ size: ImageSize, from least: ImageSize) -> Bool {
      (least.height...limit).contains(size.height) && (least.width...limit).contains(size.width)
    }
    guard fits(imageSize, from: 1) else {
      throw .badTransform("crops of \(imageSize) pixels were asked for; 1 to \(limit) are possible")
    }
    guard fits(resize.pixels, from: imageSize) else {
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
  /// The size that the picture takes or covers.
  var pixels: ImageSize {
    switch self {
    case .shortestSide(let pixels), .squash(let pixels): pixels
    }
  }

  private enum CodingKeys: String, CodingKey {
    case mode
    case pixels
  }

  /// Reads `{"mode": "squash", "pixels": 300}`, or `[height, width]` for the pixels; the other mode is `shortest_side`.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    let pixels = try container.decode(ImageSize.self, forKey: .pixels)
    switch try container.decode(String.self, forKey: .mode) {
    case "shortest_side": self = .shortestSide(pixels)
    case "squash": self = .squash(pixels)
    case let mode:
      throw DecodingError.dataCorruptedError(
        forKey: .mode, in: container,
        debugDescription: "'\(mode)' is no way to resize; give 'shortest_side' or 'squash'")
    }
  }

  /// Writes `{"mode": "squash", "pixels": 300}`, or `[height, width]` for the pixels.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    switch self {
    case .shortestSide: try container.encode("shortest_side", forKey: .mode)
    case .squash: try container.encode("squash", forKey: .mode)
    }
    try container.encode(pixels, forKey: .pixels)
  }
}
