public import GraftOps

/// Vision Transformers: patches become tokens, all of which attend to one another in every block.
///
///     t = [tokens in front ; patches(image)] + pos
///     t = t + ls1 * proj(attention(qkv(LN1(t))));   t = t + ls2 * fc2(f(fc1(LN2(t))))    for each block
///     feature = pool(LN(t))
///
/// The defaults are the plain one of arXiv 2010.11929: a class token in front, which is the feature; f is the exact GELU.
/// What else models of this family do is a setting each. Names and sizes as in timm.
public struct ViT: Architecture {
  /// `vit`.
  public static var family: String { "vit" }

  /// Which tokens the stored table of positions covers.
  public enum Positions: String, Codable, Sendable, Hashable, CaseIterable {
    /// All.
    case all
    /// The cells alone (DeiT III, DINOv2 with registers, SigLIP).
    case cells
    /// There is no table (DINOv3, BEiT).
    case none
  }

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
  /// Hidden channels of a block's MLP; of a gated one, of what the second layer reads.
  public var hiddenWidth: Int
  /// Whether each branch is multiplied by a learned factor a channel before it is added (DINOv2).
  public var hasLayerScale: Bool
  /// Added to the variance in layer normalisation.
  public var epsilon: Float
  /// What the pixels were scaled by when the weights were trained.
  public var normalization: Normalization
  /// Grid side of the stored tables of positions; of the images where there is none.
  public var positionGrid: Int

  /// Whether a class token stands in front.
  public var hasClassToken = true
  /// Whether a distillation token stands behind it (DeiT).
  public var hasDistillationToken = false
  /// Register or storage tokens behind those (DINOv2 with registers, DINOv3).
  public var registers = 0
  /// Which tokens the stored table of positions covers.
  public var positions = Positions.all
  /// Whether the patch embedding has a bias; CLIP's has none.
  public var hasPatchBias = true
  /// Whether a norm stands before the first block (CLIP).
  public var hasFirstNorm = false
  /// What stands between the two layers of an MLP.
  public var activation = Activation.gelu
  /// Whether the MLP is `fc2(f(gate) * value)`, with gate and value under one another in `fc1` (SwiGLU).
  public var isGated = false
  /// Whether a norm stands before `fc2` (EVA-02).
  public var hasHiddenNorm = false
  /// Which of queries, keys and values have biases.
  public var qkvBias = FrozenOperation.Bias.stored
  /// Whether each head's queries and keys are normalised.
  public var hasQueryKeyNorm = false
  /// Whether a norm stands before `proj` (EVA-02's CLIP).
  public var hasAttentionNorm = false
  /// Positions that are turned into queries and keys (DINOv3, EVA-02).
  public var rotation: Rotary?
  /// Whether attention adds a learned number for each pair of relative positions (BEiT).
  public var hasRelativePositions = false
  /// How tokens become the feature.
  public var pooling = End.Pooling.token
  /// Whether the last norm stands behind the pooling (`fc_norm`).
  public var poolsFirst = false

  /// Creates the settings of a plain model; the position grid follows from the patch and the image's longer side.
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

  // MARK: Operations

  /// Lists the operations.
  ///
  /// - Throws: ``GraftError`` for an image that does not divide into patches, heads that do not divide the width, or
  ///   settings that contradict each other.
  public func shape() throws -> BackboneShape {
    try check()
    let embedding = FrozenOperation(
      "patch_embed.proj", in: .stem, .embedding, .patches(side: patchSize), inputs: 3 * patchSize * patchSize,
      outputs: width, bias: hasPatchBias ? .stored : .absent, rows: .cells)
    return BackboneShape(
      architecture: self, imageSize: imageSize, normalization: normalization,
      stem: Stem(
        embedding: embedding, patchSize: patchSize, prefix: prefix, position: position,
        norm: hasFirstNorm ? .norm("norm_pre", in: .stem, width: width, epsilon: epsilon) : nil),
      blocks: (0..<depth).map(block), end: end)
  }

  private var prefix: [TensorSpec] {
    var tokens: [TensorSpec] = []
    if hasClassToken { tokens.append(TensorSpec("cls_token", [1, 1, width])) }
    if hasDistillationToken { tokens.append(TensorSpec("dist_token", [1, 1, width])) }
    if registers > 0 { tokens.append(TensorSpec("reg_token", [1, registers, width])) }
    return tokens
  }

  private var position: Stem.Position? {
    guard positions != .none else { return nil }
    let front = positions == .all ? prefix.reduce(0) { $0 + $1.shape[1] } : 0
    return Stem.Position(
      table: TensorSpec("pos_embed", [1, front + positionGrid * positionGrid, width]),
      grid: Grid(side: positionGrid), front: front)
  }

  private var end: End {
    let kept = (hasClassToken ? 1 : 0) + (hasDistillationToken ? 1 : 0)
    let rows: FrozenOperation.Rows =
      switch (poolsFirst, pooling) {
      case (true, _), (_, .token): .pooled(1)
      case (_, .frontMean): .pooled(kept)
      case (_, .mean), (_, .attention): .tokens
      }
    return End(
      norm: .norm(poolsFirst ? "fc_norm" : "norm", in: .end, width: width, epsilon: epsilon, rows: rows),
      pooling: pooling, poolsFirst: poolsFirst, front: kept,
      pool: pooling == .attention
        ? AttentionPool(
          width: width, heads: heads, hiddenWidth: hiddenWidth, activation: activation, epsilon: epsilon)
        : nil)
  }

  private func block(_ index: Int) -> Block {
    let name = "blocks.\(index)"
    let home = FrozenOperation.Home.block(index)
    func norm(_ suffix: String, _ width: Int) -> FrozenOperation {
      .norm("\(name).\(suffix)", in: home, width: width, epsilon: epsilon)
    }
    func part(
      _ module: String, norm first: String, scale: String, _ body: Part.Body, _ operations: [FrozenOperation?]
    ) -> Part {
      Part(
        id: .init(block: index, name: module), norm: norm(first, width),
        operations: operations.compactMap(\.self),
        body: body, layerScale: hasLayerScale ? TensorSpec("\(name).\(scale).gamma", [width], .scale) : nil)
    }
    let attention = Attention(
      heads: heads, rotation: rotation,
      queryKeyNorm: hasQueryKeyNorm ? .init("\(name).attn", headWidth: width / heads, epsilon: epsilon) : nil,
      relativePositions: hasRelativePositions
        ? .init("\(name).attn.relative_position_bias_table", side: positionGrid, heads: heads, front: 1) : nil
    )
    return Block(
      index: index,
      parts: [
        part(
          "attn", norm: "norm1", scale: "ls1", .attention(attention),
          [
            FrozenOperation(
              "\(name).attn.qkv", in: home, .qkv, inputs: width, outputs: 3 * width, bias: qkvBias),
            hasAttentionNorm ? norm("attn.norm", width) : nil,
            FrozenOperation("\(name).attn.proj", in: home, .proj, inputs: width, outputs: width),
          ]),
        part(
          "mlp", norm: "norm2", scale: "ls2", .mlp(activation, isGated: isGated),
          [
            FrozenOperation(
              "\(name).mlp.fc1", in: home, .fc1, inputs: width,
              outputs: isGated ? 2 * hiddenWidth : hiddenWidth),
            hasHiddenNorm ? norm("mlp.norm", hiddenWidth) : nil,
            FrozenOperation("\(name).mlp.fc2", in: home, .fc2, inputs: hiddenWidth, outputs: width),
          ]),
      ])
  }

  // MARK: Changes

  /// The same settings for images of another size.
  ///
  /// - Throws: ``GraftError/imageSizeNotDivisible(imageSize:patchSize:)``, and
  ///   ``GraftError/badSetting(name:value:reason:)`` for an image that is too large.
  public func resized(to imageSize: ImageSize) throws -> ViT {
    var copy = self
    copy.imageSize = imageSize
    try copy.check()
    // Without a table there is no grid but the image's.
    if !hasTable { copy.positionGrid = max(imageSize.height, imageSize.width) / patchSize }
    return copy
  }

  /// Whether a stored table of positions, absolute or relative, has a grid of its own.
  private var hasTable: Bool { positions != .none || hasRelativePositions }

  /// The same settings with what is given.
  ///
  /// - Throws: ``GraftError`` for heads that do not divide the width, or an image that does not divide into patches.
  public func replacing(by options: BackboneOptions) throws -> ViT {
    var copy = self
    if let heads = options.heads { copy.heads = heads }
    if let epsilon = options.epsilon { copy.epsilon = epsilon }
    if let normalization = options.normalization { copy.normalization = normalization }
    if let activation = options.activation { copy.activation = activation }
    if let pooling = options.pooling { copy.pooling = pooling }
    if let base = options.rotationBase { copy.rotation?.base = base }
    if let side = options.rotationSide, copy.rotation?.side != nil {
      copy.rotation?.coordinates = .index(side: side)
    }
    try copy.check()
    return try options.imageSize.map { try copy.resized(to: $0) } ?? copy
  }

  /// What is computed with, as the command's options spell it.
  public func value(of fact: BackboneFact) -> JSONValue {
    switch fact {
    case .heads: .integer(heads)
    // The shortest decimal number that is read as the same Float: 1e-06, not 9.999999974752427e-07.
    case .epsilon: .number(Double(epsilon.description) ?? Double(epsilon))
    case .normalization: normalization.name.map { .string($0) } ?? normalization.values
    case .activation: .string(activation.name)
    case .pooling: .string(pooling.rawValue)
    case .rotationBase: rotation.map { .number($0.base) } ?? .null
    case .rotationSide: rotation?.side.map { .integer($0) } ?? .null
    case .positionResampling: .null
    }
  }

  /// Whether it is a plain model, as versions before registers, gates and other poolings knew it.
  var isPlain: Bool {
    var plain = ViT(
      imageSize: imageSize, patchSize: patchSize, width: width, depth: depth, heads: heads,
      hiddenWidth: hiddenWidth, hasLayerScale: hasLayerScale, epsilon: epsilon, normalization: normalization)
    plain.positionGrid = positionGrid
    return self == plain
  }

  // MARK: Names

  /// timm's name where it has one for these settings, otherwise one in its style.
  public var name: String {
    let alike = BackboneCatalog.all.filter { ($0.architecture as? ViT)?.hasBlocks(of: self) == true }
    let same = alike.first {
      guard let other = $0.architecture as? ViT else { return false }
      return other.patchSize == patchSize && (!hasTable || other.positionGrid == positionGrid)
    }
    if let same { return same.name }
    let size = alike.first?.name.split(separator: "_")[1] ?? "w\(width)_d\(depth)"
    return "vit_\(size)_patch\(patchSize)_\(positionGrid * patchSize)"
  }

  /// Whether all is equal but sizes of patches and images, and what files do not tell.
  func hasBlocks(of other: ViT) -> Bool {
    var (one, two) = (self, other)
    one.imageSize = two.imageSize
    one.patchSize = two.patchSize
    one.positionGrid = two.positionGrid
    one.normalization = two.normalization
    one.epsilon = two.epsilon
    return one == two
  }

  // MARK: Checks

  /// Largest side of an image, in pixels: far beyond use, and no product of sizes overflows.
  static let largestImage = 1 << 14

  private func check() throws {
    for side in [imageSize.height, imageSize.width] where side > Self.largestImage {
      throw GraftError.badSetting(
        name: "image size", value: "\(imageSize)", reason: "the largest is \(Self.largestImage) pixels.")
    }
    guard imageSize.height > 0, imageSize.width > 0, imageSize.height % patchSize == 0,
      imageSize.width % patchSize == 0
    else {
      throw GraftError.imageSizeNotDivisible(imageSize: imageSize, patchSize: patchSize)
    }
    guard heads > 0, width % heads == 0 else {
      throw GraftError.badSetting(
        name: "heads", value: "\(heads)", reason: "it must divide the width, \(width).")
    }
    if rotation != nil, width / heads % 4 != 0 {
      throw GraftError.badSetting(
        name: "heads", value: "\(heads)", reason: "rotary positions want a multiple of 4 channels a head.")
    }
    let front = (hasClassToken ? 1 : 0) + (hasDistillationToken ? 1 : 0)
    guard front > 0 || (pooling != .token && pooling != .frontMean) else {
      throw GraftError.badSetting(
        name: "pooling", value: pooling.rawValue,
        reason: "there is no class token; \(End.Pooling.mean.rawValue) reads the cells.")
    }
  }
}

extension ViT {
  private enum CodingKeys: String, CodingKey {
    case imageSize, patchSize, width, depth, heads, hiddenWidth, hasLayerScale, epsilon, normalization,
      positionGrid
    case hasClassToken, hasDistillationToken, registers, positions, hasPatchBias, hasFirstNorm, activation,
      isGated
    case hasHiddenNorm, qkvBias, hasQueryKeyNorm, hasAttentionNorm, rotation, hasRelativePositions, pooling,
      poolsFirst
  }

  /// Reads settings; those that a plain model does not need may be missing, as they are in files of earlier versions.
  public init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: CodingKeys.self)
    func value<Value: Decodable>(_ key: CodingKeys) throws -> Value {
      try values.decode(Value.self, forKey: key)
    }
    self.init(
      imageSize: try value(.imageSize), patchSize: try value(.patchSize), width: try value(.width),
      depth: try value(.depth), heads: try value(.heads), hiddenWidth: try value(.hiddenWidth),
      hasLayerScale: try value(.hasLayerScale), epsilon: try value(.epsilon),
      normalization: try value(.normalization))
    positionGrid = try value(.positionGrid)
    func read<Value: Decodable>(_ key: CodingKeys, into target: inout Value) throws {
      if let value = try values.decodeIfPresent(Value.self, forKey: key) { target = value }
    }
    try read(.hasClassToken, into: &hasClassToken)
    try read(.hasDistillationToken, into: &hasDistillationToken)
    try read(.registers, into: &registers)
    try read(.positions, into: &positions)
    try read(.hasPatchBias, into: &hasPatchBias)
    try read(.hasFirstNorm, into: &hasFirstNorm)
    try read(.activation, into: &activation)
    try read(.isGated, into: &isGated)
    try read(.hasHiddenNorm, into: &hasHiddenNorm)
    try read(.qkvBias, into: &qkvBias)
    try read(.hasQueryKeyNorm, into: &hasQueryKeyNorm)
    try read(.hasAttentionNorm, into: &hasAttentionNorm)
    rotation = try values.decodeIfPresent(Rotary.self, forKey: .rotation)
    try read(.hasRelativePositions, into: &hasRelativePositions)
    try read(.pooling, into: &pooling)
    try read(.poolsFirst, into: &poolsFirst)
  }

  /// Writes settings, of those that a plain model does not need the ones that differ from it: earlier versions read them.
  public func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: CodingKeys.self)
    try values.encode(imageSize, forKey: .imageSize)
    try values.encode(patchSize, forKey: .patchSize)
    try values.encode(width, forKey: .width)
    try values.encode(depth, forKey: .depth)
    try values.encode(heads, forKey: .heads)
    try values.encode(hiddenWidth, forKey: .hiddenWidth)
    try values.encode(hasLayerScale, forKey: .hasLayerScale)
    try values.encode(epsilon, forKey: .epsilon)
    try values.encode(normalization, forKey: .normalization)
    try values.encode(positionGrid, forKey: .positionGrid)
    let plain = ViT(imageSize: imageSize, patchSize: patchSize, width: width, depth: depth, heads: heads)
    func write<Value: Encodable & Equatable>(_ value: KeyPath<ViT, Value>, _ key: CodingKeys) throws {
      if self[keyPath: value] != plain[keyPath: value] {
        try values.encode(self[keyPath: value], forKey: key)
      }
    }
    try write(\.hasClassToken, .hasClassToken)
    try write(\.hasDistillationToken, .hasDistillationToken)
    try write(\.registers, .registers)
    try write(\.positions, .positions)
    try write(\.hasPatchBias, .hasPatchBias)
    try write(\.hasFirstNorm, .hasFirstNorm)
    try write(\.activation, .activation)
    try write(\.isGated, .isGated)
    try write(\.hasHiddenNorm, .hasHiddenNorm)
    try write(\.qkvBias, .qkvBias)
    try write(\.hasQueryKeyNorm, .hasQueryKeyNorm)
    try write(\.hasAttentionNorm, .hasAttentionNorm)
    try write(\.rotation, .rotation)
    try write(\.hasRelativePositions, .hasRelativePositions)
    try write(\.pooling, .pooling)
    try write(\.poolsFirst, .poolsFirst)
  }
}
