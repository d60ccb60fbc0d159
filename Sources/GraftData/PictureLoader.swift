import Graft
import GraftSystem

/// From a picture's file to its crop, under the options of a source.
struct PictureLoader: Sendable {
  private let options: LoadingOptions
  private let decoder: ImageDecoder

  init(_ options: LoadingOptions) {
    self.options = options
    decoder = ImageDecoder(maximumPixels: options.maximumPixels)
  }

  /// All of a picture, as it is.
  ///
  /// - Throws: ``DataError/otherSize(_:actual:wanted:)`` for one of another size.
  func whole(_ file: FilePath, imageSize: ImageSize) throws(DataError) -> [UInt8] {
    let image = try decoder.decode(file: file)
    let actual = ImageSize(height: image.height, width: image.width)
    guard actual == imageSize else { throw .otherSize(file, actual: actual, wanted: imageSize) }
    return image.pixels
  }

  /// The crop that evaluation sees.
  func evaluationCrop(
    _ file: FilePath, _ transform: ImageTransform, imageSize: ImageSize
  ) throws(DataError) -> [UInt8] {
    try crop(
      file, transform, imageSize: imageSize, training: false,
      random: SampleRandom(seed: 0, epoch: 0, sample: 0))
  }

  /// The crop that `random` and the transform decide on.
  func crop(
    _ file: FilePath, _ transform: ImageTransform, imageSize: ImageSize, training: Bool, random: SampleRandom
  ) throws(DataError) -> [UInt8] {
    func plan(width: Int, height: Int) -> CropPlan {
      var random = random
      return transform.plan(
        width: width, height: height, imageSize: imageSize, training: training, random: &random)
    }
    guard let kept = options.kept, !transform.resizesAtRandom(training: training) else {
      let decoded = try decoded(file, plan)
      defer { decoder.buffers.giveBack(decoded.image.pixels) }
      return decoded.plan.pixels(of: decoded.image, interpolation: transform.interpolation)
    }
    let whole = transform.cropsAtRandom(training: training)
    let key = KeptPictures.Key(
      file: file, resize: transform.resize, interpolation: transform.interpolation,
      isScaled: options.scaledDecoding, centre: whole ? nil : imageSize)
    if let picture = kept[key] {
      return plan(width: picture.width, height: picture.height).pixels(of: picture)
    }
    let decoded = try decoded(file, plan)
    defer { decoder.buffers.giveBack(decoded.image.pixels) }
    let keeping = decoded.plan.keeping(whole: whole)
    // Of a picture that is not kept, no more is resized than its crop.
    guard kept.hasRoom(for: keeping.window.width * keeping.window.height * 3) else {
      return decoded.plan.pixels(of: decoded.image, interpolation: transform.interpolation)
    }
    let picture = KeptPictures.Picture(
      width: decoded.own.width, height: decoded.own.height, part: keeping.window,
      pixels: keeping.pixels(of: decoded.image, interpolation: transform.interpolation))
    kept.keep(picture, as: key)
    return decoded.plan.pixels(of: picture)
  }

  /// A picture, perhaps decoded smaller, its own size, and the plan for it as it is.
  ///
  /// The plan is always made for the picture's own size, so that chance falls alike.
  private func decoded(
    _ file: FilePath, _ makePlan: (_ width: Int, _ height: Int) -> CropPlan
  ) throws(DataError) -> (image: RGBImage, own: (width: Int, height: Int), plan: CropPlan) {
    var size: (width: Int, height: Int)?
    let image = try decoder.decode(file: file) { width, height in
      size = (width, height)
      return options.scaledDecoding ? makePlan(width, height).divisor : 1
    }
    let own = size ?? (image.width, image.height)
    let plan = makePlan(own.width, own.height).scaled(from: own, to: (image.width, image.height))
    return (image, own, plan)
  }
}
