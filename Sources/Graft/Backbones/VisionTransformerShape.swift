/// Everything about a Vision Transformer but its weights: enough to count parameters and operations.
///
/// Source: Dosovitskiy et al., arXiv 2010.11929; names and sizes as in timm.
public struct VisionTransformerShape: Codable, Sendable, Hashable {
  /// Side of the square input images, in pixels.
  public var imageSize: Int
  /// Side of a square patch, in pixels.
  public var patchSize: Int
  /// Channels of a token, D.
  public var width: Int
  /// Number of blocks.
  public var depth: Int
  /// Attention heads of a block.
  public var heads: Int
  /// Hidden channels of a block's MLP.
  public var hiddenWidth: Int
  /// Whether each branch is multiplied by a learned factor a channel before it is added (DINOv2).
  public var hasLayerScale: Bool
  /// Added to the variance in layer normalisation.
  public var epsilon: Float
  /// What the pixels were scaled by when the weights were trained.
  public var normalization: Normalization
  /// Grid side of the stored position embedding.
  public var positionGrid: Int

  /// Creates a shape; the position grid follows from image and patch size.
  public init(
    imageSize: Int, patchSize: Int, width: Int, depth: Int, heads: Int, hiddenWidth: Int? = nil,
    hasLayerScale: Bool = false, epsilon: Float = 1e-6, normalization: Normalization = .half
  ) {
    self.imageSize = imageSize
    self.patchSize = patchSize
    self.width = width
    self.depth = depth
    self.heads = heads
    self.hiddenWidth = hiddenWidth ?? 4 * width
    self.hasLayerScale = hasLayerScale
    self.epsilon = epsilon
    self.normalization = normalization
    positionGrid = imageSize / patchSize
  }

  /// Side of the patch grid.
  public var grid: Int { imageSize / patchSize }

  /// Tokens of an image, class token included.
  public var tokens: Int { grid * grid + 1 }

  /// Scalars of the backbone without a classification head.
  public var parameterCount: Int {
    let d = width
    let block =
      4 * d + (3 * d * d + 3 * d) + (d * d + d) + (hiddenWidth * d + hiddenWidth) + (d * hiddenWidth + d)
      + (hasLayerScale ? 2 * d : 0)
    let embedding = 3 * patchSize * patchSize * d + d + d + (positionGrid * positionGrid + 1) * d
    return embedding + depth * block + 2 * d
  }

  /// Multiply-accumulates of the patch embedding, an image.
  public var embeddingMACs: Int { grid * grid * 3 * patchSize * patchSize * width }

  /// Multiply-accumulates of one block over `tokens` tokens: matrix products and attention.
  public func blockMACs(tokens: Int) -> Int {
    tokens * (4 * width * width + 2 * width * hiddenWidth) + 2 * tokens * tokens * width
  }

  /// The same shape for images of another size.
  ///
  /// - Throws: ``GraftError/imageSizeNotDivisible(imageSize:patchSize:)``.
  public func resized(to imageSize: Int) throws -> VisionTransformerShape {
    try Self.check(imageSize: imageSize, patchSize: patchSize)
    var copy = self
    copy.imageSize = imageSize
    return copy
  }

  /// Largest side of an image, in pixels: far beyond use, and no product of sizes overflows.
  private static let largestImage = 1 << 14

  private static func check(imageSize: Int, patchSize: Int) throws {
    guard imageSize <= largestImage else {
      throw GraftError.badSetting(
        name: "image size", value: "\(imageSize)", reason: "the largest is \(largestImage) pixels.")
    }
    guard imageSize > 0, imageSize % patchSize == 0 else {
      throw GraftError.imageSizeNotDivisible(imageSize: imageSize, patchSize: patchSize)
    }
  }
}

extension VisionTransformerShape {
  /// The shape behind a timm architecture name such as `vit_base_patch16_224` or `vit_small_patch14_dinov2`.
  ///
  /// - Throws: ``GraftError/unknownArchitecture(_:known:)``.
  public init(architecture name: String) throws {
    let base = name.split(separator: ".").first.map(String.init) ?? name
    let parts = base.split(separator: "_").map(String.init)
    let sizes = [
      "tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12), "large": (1024, 24, 16),
      "huge": (1280, 32, 16),
    ]
    guard parts.count >= 3, parts[0] == "vit", let (width, depth, heads) = sizes[parts[1]],
      parts[2].hasPrefix("patch"), let patch = Int(parts[2].dropFirst(5)), [8, 14, 16, 32].contains(patch)
    else { throw GraftError.unknownArchitecture(name, known: Self.architectures) }
    let isDINOv2 = parts.contains("dinov2")
    let imageSize = parts.dropFirst(3).compactMap { Int($0) }.first ?? (isDINOv2 ? 518 : 224)
    try Self.check(imageSize: imageSize, patchSize: patch)
    self.init(
      imageSize: imageSize, patchSize: patch, width: width, depth: depth, heads: heads,
      hasLayerScale: isDINOv2, normalization: isDINOv2 ? .imageNet : .half)
  }

  /// Examples of the names that ``init(architecture:)`` takes.
  public static let architectures = [
    "vit_tiny_patch16_224", "vit_small_patch16_224", "vit_base_patch16_224", "vit_base_patch32_224",
    "vit_base_patch8_224", "vit_large_patch16_224", "vit_huge_patch14_224", "vit_small_patch14_dinov2",
    "vit_base_patch14_dinov2", "vit_large_patch14_dinov2",
  ]

  /// The nearest timm name, for messages and for the adapter's configuration file.
  public var architectureName: String {
    let size =
      [192: "tiny", 384: "small", 768: "base", 1024: "large", 1280: "huge"][width] ?? "w\(width)_d\(depth)"
    return hasLayerScale
      ? "vit_\(size)_patch\(patchSize)_dinov2" : "vit_\(size)_patch\(patchSize)_\(positionGrid * patchSize)"
  }
}
