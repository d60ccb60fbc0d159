public import GraftOps

/// What a checkpoint's tensors cannot tell.
public struct BackboneOptions: Sendable, Hashable {
  /// Size of the images to prepare for; by default the size of the stored position embedding.
  public var imageSize: ImageSize?
  /// Attention heads; by default those of timm's models of this width, or else 64 channels each.
  public var heads: Int?
  /// Added to the variance in layer normalisation; by default 1e-6, as in timm.
  public var epsilon: Float?
  /// What pixels are scaled by; by default ImageNet's figures for DINOv2 and one half otherwise, as in timm.
  public var normalization: Normalization?
  /// What stands between the two layers of an MLP.
  public var activation: Activation?
  /// How tokens become the feature.
  public var pooling: End.Pooling?
  /// How the stored positions are brought to another image size.
  ///
  /// By default as the library does whose names the weights have.
  public var positionResampling: PositionResampling?
  /// Those of the values above that nobody has said, though they are given: a recipe's, or an earlier run's guess.
  public var presumed: Set<BackboneFact> = []

  /// Creates options; the defaults are timm's.
  public init(
    imageSize: ImageSize? = nil, heads: Int? = nil, epsilon: Float? = nil,
    normalization: Normalization? = nil,
    activation: Activation? = nil, pooling: End.Pooling? = nil,
    positionResampling: PositionResampling? = nil
  ) {
    self.imageSize = imageSize
    self.heads = heads
    self.epsilon = epsilon
    self.normalization = normalization
    self.activation = activation
    self.pooling = pooling
    self.positionResampling = positionResampling
  }

  /// These options, but for what others say about a file.
  func replacing(by others: BackboneOptions) -> BackboneOptions {
    var options = self
    options.imageSize = others.imageSize ?? imageSize
    options.heads = others.heads ?? heads
    options.epsilon = others.epsilon ?? epsilon
    options.normalization = others.normalization ?? normalization
    options.activation = others.activation ?? activation
    options.pooling = others.pooling ?? pooling
    options.positionResampling = others.positionResampling ?? positionResampling
    return options
  }
}
