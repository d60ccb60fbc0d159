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

  /// The same shape with another number of attention heads.
  ///
  /// - Throws: ``GraftError/badSetting(name:value:reason:)`` for one that does not divide the width.
  public func with(heads: Int) throws -> VisionTransformerShape {
    guard heads > 0, width % heads == 0 else {
      throw GraftError.badSetting(
        name: "heads", value: "\(heads)", reason: "it must divide the width, \(width).")
    }
    var copy = self
    copy.heads = heads
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
  /// The shape behind a timm architecture name such as `vit_base_patch16_224`, perhaps with the tag of its weights:
  /// `vit_base_patch16_224.mae`.
  ///
  /// - Throws: ``GraftError/unknownArchitecture(_:nearest:meaning:)``, ``GraftError/unknownWeights(_:of:known:)``.
  public init(architecture name: String) throws {
    let parts = name.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    let base = String(parts[0])
    guard let architecture = Architecture.named(base) else {
      throw GraftError.unknownArchitecture(
        name, nearest: nearest(to: base, in: Self.architectures, within: base.count / 3),
        meaning: Architecture.whyNot(base))
    }
    self = architecture.shape
    guard parts.count == 2 else { return }
    let tag = String(parts[1])
    guard let normalization = architecture.tags[tag] else {
      throw GraftError.unknownWeights(tag, of: base, known: architecture.tags.keys.sorted())
    }
    self.normalization = normalization
  }

  /// The names that ``init(architecture:)`` takes, without tags.
  public static var architectures: [String] { Architecture.all.map(\.name) }

  /// timm's name where it has one for these sizes, otherwise one in its style, for messages and for the adapter's
  /// configuration file.
  public var architectureName: String {
    let alike = Architecture.all.filter { $0.shape.hasBlocks(of: self) }
    let same = alike.first { $0.shape.patchSize == patchSize && $0.shape.positionGrid == positionGrid }
    if let same { return same.name }
    let size = alike.first?.name.split(separator: "_")[1] ?? "w\(width)_d\(depth)"
    return "vit_\(size)_patch\(patchSize)_\(positionGrid * patchSize)"
  }

  private func hasBlocks(of other: VisionTransformerShape) -> Bool {
    width == other.width && depth == other.depth && heads == other.heads && hiddenWidth == other.hiddenWidth
      && hasLayerScale == other.hasLayerScale
  }
}
