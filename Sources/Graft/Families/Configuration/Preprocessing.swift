/// How pictures become a backbone's images, as a file beside its weights says: resized, then cropped in the centre.
///
/// Both are given for the size that the weights were trained on and scale with ``BackboneShape/imageSize``: a side of `n`
/// pixels is cut out of `floor(n / cropFraction)`.
public struct Preprocessing: Sendable, Hashable {
  /// Whether the shorter side is resized and the aspect ratio kept; otherwise both sides are.
  public var keepsAspectRatio: Bool
  /// Side of the crop by that of the resized picture (timm's `crop_pct`), above 0 and at most 1.
  public var cropFraction: Double
  /// Whether samples between pixels are linear instead of cubic.
  public var isBilinear: Bool

  init?(keepsAspectRatio: Bool, cropFraction: Double, isBilinear: Bool) {
    guard cropFraction >= 0.1, cropFraction <= 1 else { return nil }
    self.keepsAspectRatio = keepsAspectRatio
    self.cropFraction = cropFraction
    self.isBilinear = isBilinear
  }

  /// A crop of so many pixels out of so many.
  init?(keepsAspectRatio: Bool, crop: Int, resized: Int, isBilinear: Bool) {
    guard (1...1 << 14).contains(crop), (crop...1 << 14).contains(resized) else { return nil }
    var fraction = Double(crop) / Double(resized)
    // The quotient of rounded numbers must not fall below the whole one.
    while Int(Double(crop) / fraction) < resized { fraction = fraction.nextDown }
    self.init(keepsAspectRatio: keepsAspectRatio, cropFraction: fraction, isBilinear: isBilinear)
  }
}
