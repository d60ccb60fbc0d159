import GraftSystem

/// The geometry of one crop, decided before a pixel is touched.
struct CropPlan: Equatable {
  /// The part of the source that is resized.
  var region: Resampling.Rect
  /// The size the region is resized to.
  var width: Int
  var height: Int
  /// The part of the resized region that is kept.
  var window: Resampling.Rect
  /// Whether the crop is mirrored left to right.
  var isFlipped = false

  /// Evaluation: the whole picture, resized, its centre.
  init(width: Int, height: Int, transform: ImageTransform, imageSize: Int) {
    region = Resampling.Rect(x: 0, y: 0, width: width, height: height)
    switch transform.resize {
    case .squash(let side):
      (self.width, self.height) = (side, side)
    case .shortestSide(let side):
      // torchvision cuts the longer side's fraction off.
      let long = Int(Double(side) * Double(max(width, height)) / Double(min(width, height)))
      (self.width, self.height) = width <= height ? (side, long) : (long, side)
    }
    // Python's round, which torchvision uses, takes a half to the even side.
    func centre(_ side: Int) -> Int { Int((Double(side - imageSize) / 2).rounded(.toNearestOrEven)) }
    window = Resampling.Rect(
      x: centre(self.width), y: centre(self.height), width: imageSize, height: imageSize)
  }

  /// Training: what the transform asks for, drawn from `random`.
  init(
    width: Int, height: Int, transform: ImageTransform, imageSize: Int, random: inout SampleRandom
  ) {
    self.init(width: width, height: height, transform: transform, imageSize: imageSize)
    switch transform.trainingCrop {
    case .none:
      break
    case .random:
      window.x = random.below(self.width - imageSize + 1)
      window.y = random.below(self.height - imageSize + 1)
    case .randomResized:
      region = Self.randomRegion(width: width, height: height, random: &random)
      (self.width, self.height) = (imageSize, imageSize)
      window = Resampling.Rect(x: 0, y: 0, width: imageSize, height: imageSize)
    }
    isFlipped = random.real(in: 0...1) < transform.flipProbability
  }

  static let areas = 0.08...1.0
  static let ratios = 3.0 / 4...4.0 / 3

  /// torchvision's RandomResizedCrop: ten tries, then the largest centred part with an allowed ratio.
  private static func randomRegion(
    width: Int, height: Int, random: inout SampleRandom
  ) -> Resampling.Rect {
    for _ in 0..<10 {
      let area = Double(width * height) * random.real(in: areas)
      let ratio = exp(random.real(in: log(ratios.lowerBound)...log(ratios.upperBound)))
      let partWidth = Int((area * ratio).squareRoot().rounded(.toNearestOrEven))
      let partHeight = Int((area / ratio).squareRoot().rounded(.toNearestOrEven))
      if (1...width).contains(partWidth), (1...height).contains(partHeight) {
        return Resampling.Rect(
          x: random.below(width - partWidth + 1), y: random.below(height - partHeight + 1),
          width: partWidth, height: partHeight)
      }
    }
    let ratio = Double(width) / Double(height)
    var (partWidth, partHeight) = (width, height)
    if ratio < ratios.lowerBound {
      partHeight = min(height, Int((Double(width) / ratios.lowerBound).rounded(.toNearestOrEven)))
    } else if ratio > ratios.upperBound {
      partWidth = min(width, Int((Double(height) * ratios.upperBound).rounded(.toNearestOrEven)))
    }
    return Resampling.Rect(
      x: (width - partWidth) / 2, y: (height - partHeight) / 2, width: partWidth, height: partHeight)
  }
}

extension CropPlan {
  /// Resizes, crops and mirrors: `window.width * window.height * 3` bytes.
  func pixels(of image: RGBImage, interpolation: ImageTransform.Interpolation) -> [UInt8] {
    let filter: ResamplingFilter = interpolation == .bicubic ? .bicubic : .bilinear
    var result = Resampling.resize(
      image, region: region, width: width, height: height, window: window, filter: filter)
    if isFlipped { Self.mirror(&result, width: window.width, height: window.height) }
    return result
  }

  private static func mirror(_ pixels: inout [UInt8], width: Int, height: Int) {
    for y in 0..<height {
      for x in 0..<width / 2 {
        let left = (y * width + x) * 3
        let right = (y * width + width - 1 - x) * 3
        for channel in 0..<3 { pixels.swapAt(left + channel, right + channel) }
      }
    }
  }
}

extension ImageTransform {
  /// The crop of a decoded picture; `random` is used in training only.
  func crop(_ image: RGBImage, imageSize: Int, training: Bool, random: inout SampleRandom) -> [UInt8] {
    let plan =
      training
      ? CropPlan(
        width: image.width, height: image.height, transform: self, imageSize: imageSize, random: &random)
      : CropPlan(width: image.width, height: image.height, transform: self, imageSize: imageSize)
    return plan.pixels(of: image, interpolation: interpolation)
  }
}
