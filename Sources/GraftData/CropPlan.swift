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
  /// What the picture's sides may be divided by while it is decoded: the largest of 8, 4, 2 and 1 that leaves twice the
  /// size, on either axis, of what the region is resized to.
  var divisor: Int {
    [8, 4, 2].first { region.width / $0 >= 2 * width && region.height / $0 >= 2 * height } ?? 1
  }

  /// The plan for the picture as it was decoded, when the plan was made for its own size.
  func scaled(from own: (width: Int, height: Int), to decoded: (width: Int, height: Int)) -> CropPlan {
    func part(_ start: Int, _ length: Int, of own: Int, in decoded: Int) -> (start: Int, length: Int) {
      let ends = [start, start + length].map { ($0 * decoded + own / 2) / own }
      return (ends[0], ends[1] - ends[0])
    }
    let columns = part(region.x, region.width, of: own.width, in: decoded.width)
    let rows = part(region.y, region.height, of: own.height, in: decoded.height)
    var plan = self
    plan.region = Resampling.Rect(
      x: columns.start, y: rows.start, width: columns.length, height: rows.length)
    return plan
  }

  /// Resizes, crops and mirrors: `window.width * window.height * 3` bytes.
  func pixels(of image: RGBImage, interpolation: ImageTransform.Interpolation) -> [UInt8] {
    let filter: ResamplingFilter = interpolation == .bicubic ? .bicubic : .bilinear
    var result = Resampling.resize(
      image, region: region, width: width, height: height, window: window, filter: filter)
    if isFlipped { Self.mirror(&result, width: window.width, height: window.height) }
    return result
  }

  static func mirror(_ pixels: inout [UInt8], width: Int, height: Int) {
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
  /// The crop of a picture of this size; `random` is used in training only.
  func plan(
    width: Int, height: Int, imageSize: Int, training: Bool, random: inout SampleRandom
  ) -> CropPlan {
    training
      ? CropPlan(width: width, height: height, transform: self, imageSize: imageSize, random: &random)
      : CropPlan(width: width, height: height, transform: self, imageSize: imageSize)
  }

  /// The crop of a decoded picture; `random` is used in training only.
  func crop(_ image: RGBImage, imageSize: Int, training: Bool, random: inout SampleRandom) -> [UInt8] {
    plan(width: image.width, height: image.height, imageSize: imageSize, training: training, random: &random)
      .pixels(of: image, interpolation: interpolation)
  }
}
