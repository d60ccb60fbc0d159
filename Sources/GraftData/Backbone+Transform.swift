public import Graft

extension Backbone {
  /// How pictures become this backbone's images, as the files beside its weights say; where they say nothing, squashed to
  /// its size.
  public var transform: ImageTransform {
    guard let preprocessing = reading?.preprocessing else { return .squash(imageSize: shape.imageSize) }
    let resized = shape.imageSize.map { Int(Double($0) / preprocessing.cropFraction) }
    return ImageTransform(
      resize: preprocessing.keepsAspectRatio ? .shortestSide(resized) : .squash(resized),
      interpolation: preprocessing.isBilinear ? .bilinear : .bicubic)
  }
}
