/// Vision Transformers: patches become tokens, all of which attend to one another in every block.
///
///     t = [cls ; patches(image)] + pos
///     t = t + ls1 * proj(attention(qkv(LN1(t))));   t = t + ls2 * fc2(GELU(fc1(LN2(t))))    for each block
///     feature = LN(t)[0]
///
/// Source: Dosovitskiy et al., arXiv 2010.11929; names and sizes as in timm.
public struct ViT: Architecture {
  /// `vit`.
  public static var family: String { "vit" }

  /// Height and width of the input images, in pixels.
  public var imageSize: ImageSize
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

  /// Creates settings; the position grid follows from the patch and the image's longer side.
  public init(
    imageSize: ImageSize, patchSize: Int, width: Int, depth: Int, heads: Int, hiddenWidth: Int? = nil,
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
    positionGrid = max(imageSize.height, imageSize.width) / patchSize
  }

  /// Lists the operations.
  ///
  /// - Throws: ``GraftError`` for an image that does not divide into patches, or heads that do not divide the width.
  public func shape() throws -> BackboneShape {
    try Self.check(imageSize: imageSize, patchSize: patchSize)
    guard heads > 0, width % heads == 0 else {
      throw GraftError.badSetting(
        name: "heads", value: "\(heads)", reason: "it must divide the width, \(width).")
    }
    let stem = Stem(
      embedding: FrozenOperation(
        "patch_embed.proj", in: .stem, .embedding, .patches(side: patchSize),
        inputs: 3 * patchSize * patchSize,
        outputs: width, rows: .cells),
      patchSize: patchSize, prefix: [TensorSpec("cls_token", [1, 1, width])],
      position: TensorSpec("pos_embed", [1, 1 + positionGrid * positionGrid, width]),
      positionGrid: Grid(side: positionGrid))
    let end = End(
      norm: .norm("norm", in: .end, width: width, epsilon: epsilon, rows: .pooled(1)), pooling: .token)
    return BackboneShape(
      architecture: self, imageSize: imageSize, normalization: normalization, stem: stem,
      blocks: (0..<depth).map(block), end: end)
  }

  private func block(_ index: Int) -> Block {
    let name = "blocks.\(index)"
    let home = FrozenOperation.Home.block(index)
    func part(
      _ module: String, norm: String, scale: String, _ body: Part.Body, _ operations: [FrozenOperation]
    ) -> Part {
      Part(
        id: .init(block: index, name: module),
        norm: .norm("\(name).\(norm)", in: home, width: width, epsilon: epsilon), operations: operations,
        body: body, layerScale: hasLayerScale ? TensorSpec("\(name).\(scale).gamma", [width], .scale) : nil)
    }
    return Block(
      index: index,
      parts: [
        part(
          "attn", norm: "norm1", scale: "ls1", .attention(Attention(heads: heads)),
          [
            FrozenOperation("\(name).attn.qkv", in: home, .qkv, inputs: width, outputs: 3 * width),
            FrozenOperation("\(name).attn.proj", in: home, .proj, inputs: width, outputs: width),
          ]),
        part(
          "mlp", norm: "norm2", scale: "ls2", .mlp(.gelu, isGated: false),
          [
            FrozenOperation("\(name).mlp.fc1", in: home, .fc1, inputs: width, outputs: hiddenWidth),
            FrozenOperation("\(name).mlp.fc2", in: home, .fc2, inputs: hiddenWidth, outputs: width),
          ]),
      ])
  }

  /// The same settings for images of another size.
  ///
  /// - Throws: ``GraftError/imageSizeNotDivisible(imageSize:patchSize:)``.
  public func resized(to imageSize: ImageSize) throws -> ViT {
    try Self.check(imageSize: imageSize, patchSize: patchSize)
    var copy = self
    copy.imageSize = imageSize
    return copy
  }

  /// The same settings with other heads, epsilon, normalisation or image size, where they are given.
  ///
  /// - Throws: ``GraftError`` for heads that do not divide the width, or an image that does not divide into patches.
  public func replacing(by options: BackboneOptions) throws -> ViT {
    var copy = self
    if let heads = options.heads { copy.heads = heads }
    if let epsilon = options.epsilon { copy.epsilon = epsilon }
    if let normalization = options.normalization { copy.normalization = normalization }
    if let imageSize = options.imageSize { copy.imageSize = imageSize }
    _ = try copy.shape()
    return copy
  }

  /// What is computed with, as the command's options spell it.
  public func value(of fact: BackboneFact) -> JSONValue {
    switch fact {
    case .heads: .integer(heads)
    // The shortest decimal number that is read as the same Float: 1e-06, not 9.999999974752427e-07.
    case .epsilon: .number(Double(epsilon.description) ?? Double(epsilon))
    case .normalization: normalization.name.map { .string($0) } ?? normalization.values
    case .activation: .string("gelu")
    }
  }

  /// timm's name where it has one for these sizes, otherwise one in its style.
  public var name: String {
    let alike = BackboneCatalog.all.filter { ($0.architecture as? ViT)?.hasBlocks(of: self) == true }
    let same = alike.first {
      guard let other = $0.architecture as? ViT else { return false }
      return other.patchSize == patchSize && other.positionGrid == positionGrid
    }
    if let same { return same.name }
    let size = alike.first?.name.split(separator: "_")[1] ?? "w\(width)_d\(depth)"
    return "vit_\(size)_patch\(patchSize)_\(positionGrid * patchSize)"
  }

  private func hasBlocks(of other: ViT) -> Bool {
    width == other.width && depth == other.depth && heads == other.heads && hiddenWidth == other.hiddenWidth
      && hasLayerScale == other.hasLayerScale
  }

  /// Largest side of an image, in pixels: far beyond use, and no product of sizes overflows.
  private static let largestImage = 1 << 14

  private static func check(imageSize: ImageSize, patchSize: Int) throws {
    guard max(imageSize.height, imageSize.width) <= largestImage else {
      throw GraftError.badSetting(
        name: "image size", value: "\(imageSize)", reason: "the largest is \(largestImage) pixels.")
    }
    guard [imageSize.height, imageSize.width].allSatisfy({ $0 > 0 && $0 % patchSize == 0 }) else {
      throw GraftError.imageSizeNotDivisible(imageSize: imageSize, patchSize: patchSize)
    }
  }
}
