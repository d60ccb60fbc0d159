import Graft
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
  init(width: Int, height: Int, transform: ImageTransform, imageSize: ImageSize) {
    region = Resampling.Rect(x: 0, y: 0, width: width, height: height)
    switch transform.resize {
    case .squash(let size):
      (self.width, self.height) = (size.width, size.height)
    case .shortestSide(let size):
      (self.width, self.height) = Self.covering(size, width: width, height: height)
    }
    func centre(_ whole: Int, _ part: Int) -> Int { Self.round(Double(whole - part) / 2) }
    window = Resampling.Rect(
      x: centre(self.width, imageSize.width), y: centre(self.height, imageSize.height),
      width: imageSize.width, height: imageSize.height)
  }

  /// The size at which a picture of unchanged aspect ratio just covers another size.
  private static func covering(_ size: ImageSize, width: Int, height: Int) -> (width: Int, height: Int) {
    if let side = size.side {
      // torchvision cuts the longer side's fraction off.
      let long = Int(Double(side) * Double(max(width, height)) / Double(min(width, height)))
      return width <= height ? (side, long) : (long, side)
    }
    // timm rounds both sides where the crop is no square.
    let ratio = min(Double(height) / Double(size.height), Double(width) / Double(size.width))
    return (round(Double(width) / ratio), round(Double(height) / ratio))
  }

  /// Python's round, which torchvision and timm use: a half goes to the even number.
  private static func round(_ value: Double) -> Int { Int(value.rounded(.toNearestOrEven)) }

  /// Training: what the transform asks for, drawn from `random`.
  init(
    width: Int, height: Int, transform: ImageTransform, imageSize: ImageSize, random: inout SampleRandom
  ) {
    self.init(width: width, height: height, transform: transform, imageSize: imageSize)
    switch transform.trainingCrop {
    case .none:
      break
    case .random:
      window.x = random.below(self.width - imageSize.width + 1)
      window.y = random.below(self.height - imageSize.height + 1)
    case .randomResized:
      region = Self.randomRegion(
        width: width, height: height, aspect: Double(imageSize.width) / Double(imageSize.height),
        random: &random)
      (self.width, self.height) = (imageSize.width, imageSize.height)
      window = Resampling.Rect(x: 0, y: 0, width: imageSize.width, height: imageSize.height)
    }
    isFlipped = random.real(in: 0...1) < transform.flipProbability
  }

  static let areas = 0.08...1.0
  /// Width over height of a random part, over that of the crop.
  static let ratios = 3.0 / 4...4.0 / 3

  /// torchvision's RandomResizedCrop: ten tries, then the largest centred part with an allowed ratio.
  ///
  /// Its ratios are about 1, also where the crop is no square; here they are about the crop's, `aspect`, so that no
  /// part is distorted by more than a third.
  private static func randomRegion(
    width: Int, height: Int, aspect: Double, random: inout SampleRandom
  ) -> Resampling.Rect {
    for _ in 0..<10 {
      let area = Double(width * height) * random.real(in: areas)
      let ratio = aspect * exp(random.real(in: log(ratios.lowerBound)...log(ratios.upperBound)))
      let partWidth = round((area * ratio).squareRoot())
      let partHeight = round((area / ratio).squareRoot())
      if (1...width).contains(partWidth), (1...height).contains(partHeight) {
        return Resampling.Rect(
          x: random.below(width - partWidth + 1), y: random.below(height - partHeight + 1),
          width: partWidth, height: partHeight)
      }
    }
    let ratio = Double(width) / Double(height)
    let (least, most) = (aspect * ratios.lowerBound, aspect * ratios.upperBound)
    var (partWidth, partHeight) = (width, height)
    if ratio < least {
      partHeight = min(height, round(Double(width) / least))
    } else if ratio > most {
      partWidth = min(width, round(Double(height) * most))
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
    width: Int, height: Int, imageSize: ImageSize, training: Bool, random: inout SampleRandom
  ) -> CropPlan {
    training
      ? CropPlan(width: width, height: height, transform: self, imageSize: imageSize, random: &random)
      : CropPlan(width: width, height: height, transform: self, imageSize: imageSize)
  }

  /// The crop of a decoded picture; `random` is used in training only.
  func crop(_ image: RGBImage, imageSize: ImageSize, training: Bool, random: inout SampleRandom) -> [UInt8] {
    plan(width: image.width, height: image.height, imageSize: imageSize, training: training, random: &random)
      .pixels(of: image, interpolation: interpolation)
  }
}
