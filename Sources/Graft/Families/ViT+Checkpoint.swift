import GraftOps
import GraftSystem
import SystemPackage

extension ViT {
  /// Reads settings off the shapes of a checkpoint's tensors, and what they cannot tell off options, whose names they are,
  /// and what is usual.
  ///
  /// - Throws: `CheckpointError` naming missing, unexpected and misshapen tensors.
  init(reading weights: CanonicalWeights, options: BackboneOptions) throws {
    let (index, path) = (weights.index, weights.file.path)
    guard let patch = index["patch_embed.proj.weight"], patch.count == 4, patch[1] == 3, patch[2] == patch[3],
      patch[0] > 0, patch[2] > 0
    else {
      let isThere = index["patch_embed.proj.weight"] != nil
      throw CheckpointError.tensorMismatch(
        path: path, missing: [isThere ? "a square patch embedding of 3 channels" : "patch_embed.proj.weight"],
        unexpected: [], misshapen: [])
    }
    // A tensor without elements may claim any side: what is worked out from shapes must not overflow.
    let absurd = index.shapes.first { $0.value.contains { $0 > Self.largestSide } }
    if let (name, shape) = absurd {
      throw CheckpointError.malformedFile(
        path: path, detail: "tensor \(printable(name)) is \(shape), larger than any of a model's")
    }
    let (width, patchSize) = (patch[0], patch[2])
    // The last block's number tells the depth, so that the message names what another lacks; a file has at least one
    // block, and no more than tensors.
    let depth = min(max(1, index.depth), index.shapes.count)
    let first = "blocks.0"
    let hidden = max(1, index["\(first).mlp.fc2.weight"]?.last ?? 4 * width)
    let table = index["\(first).attn.relative_position_bias_table"]
    let told = options.heads ?? weights.heads
    self.init(
      imageSize: ImageSize(patchSize), patchSize: patchSize, width: width, depth: depth, heads: told ?? 1,
      hiddenWidth: hidden, hasLayerScale: index["\(first).ls1.gamma"] != nil)

    hasClassToken = index["cls_token"] != nil
    hasDistillationToken = index["dist_token"] != nil
    registers = index["reg_token"].flatMap { $0.count == 3 ? $0[1] : nil } ?? 0
    hasPatchBias = index["patch_embed.proj.bias"] != nil
    hasFirstNorm = index["norm_pre.weight"] != nil
    isGated = index["\(first).mlp.fc1.weight"]?.first == 2 * hidden
    hasHiddenNorm = index["\(first).mlp.norm.weight"] != nil
    hasAttentionNorm = index["\(first).attn.norm.weight"] != nil
    hasQueryKeyNorm = index["\(first).attn.q_norm.weight"] != nil
    hasRelativePositions = table != nil
    let bias = "\(first).attn.qkv.bias"
    qkvBias = index[bias] == nil ? .absent : index.partial.contains(bias) ? .partial : .stored
    try readPositions(index, table, usualSize: options.trainedSize, path)
    imageSize = ImageSize(positionGrid * patchSize)
    try readFacts(index, weights.dialect.facts, options)
    if told == nil { heads = try likelyHeads() }

    try weights.require(shape().tensors)
    if let imageSize = options.imageSize { self = try resized(to: imageSize) }
  }

  /// No side of a tensor is longer: a thousand times those of the largest models.
  private static let largestSide = 1 << 24

  private mutating func readPositions(
    _ index: TensorIndex, _ table: [Int]?, usualSize: Int?, _ path: FilePath
  ) throws {
    guard let position = index["pos_embed"] else {
      positions = .none
      // Without a stored grid, images of the size that most are trained at.
      let size = usualSize.flatMap { (1...Self.largestImage).contains($0) ? $0 : nil } ?? 224
      positionGrid = max(1, size / patchSize)
      if let rows = table?.first, rows > 3 {
        positionGrid = (Int(Double(rows - 3).squareRoot().rounded()) + 1) / 2
      }
      return
    }
    let front = (hasClassToken ? 1 : 0) + (hasDistillationToken ? 1 : 0) + registers
    func side(_ cells: Int) -> Int? {
      let side = Int(Double(max(0, cells)).squareRoot().rounded())
      return side > 0 && side * side == cells ? side : nil
    }
    let rows = position.count == 3 ? position[1] : 0
    if let grid = side(rows) {
      (positions, positionGrid) = (front == 0 ? .all : .cells, grid)
    } else if let grid = side(rows - front) {
      (positions, positionGrid) = (.all, grid)
    } else if front == 0, side(rows - 1) != nil {
      throw CheckpointError.tensorMismatch(path: path, missing: ["cls_token"], unexpected: [], misshapen: [])
    } else {
      let near = max(1, Int(Double(max(1, rows - front)).squareRoot().rounded()))
      throw CheckpointError.tensorMismatch(
        path: path, missing: [], unexpected: [],
        misshapen: [.init(name: "pos_embed", expected: [1, near * near + front, width], actual: position)])
    }
  }

  /// What shapes do not tell.
  private mutating func readFacts(
    _ index: TensorIndex, _ dialect: Dialect.Facts, _ options: BackboneOptions
  ) throws {
    let knowsNoPositions = positions == .none && !hasRelativePositions
    let isDINOv3 = knowsNoPositions && hasClassToken
    if isDINOv3 {
      rotation = .dinov3
    } else if knowsNoPositions || (isGated && qkvBias == .partial) {
      rotation = .eva02
    }
    poolsFirst = index["fc_norm.weight"] != nil
    pooling =
      index["attn_pool.latent"] != nil ? .attention : poolsFirst || !hasClassToken ? .mean : .token
    activation = isGated ? .silu : .gelu
    epsilon = hasFirstNorm || isDINOv3 ? 1e-5 : 1e-6
    // DeiT's authors alone distil by a token.
    normalization =
      hasFirstNorm || rotation == .eva02
      ? .clip
      : hasDistillationToken || (hasLayerScale && !hasRelativePositions) ? .imageNet : .half
    if let epsilon = dialect.epsilon { self.epsilon = epsilon }
    if let activation = dialect.activation, !isGated { self.activation = activation }
    if let normalization = dialect.normalization { self.normalization = normalization }
    if let pooling = dialect.pooling, hasClassToken, self.pooling != .attention, !poolsFirst {
      self.pooling = pooling == .token ? .token : .mean
    }
    self = try replacing(by: options.without(\.imageSize))
  }

  /// As many as timm's model of these settings has, or else its first of this width, or else one for each 64 channels.
  func likelyHeads() throws -> Int {
    let known = BackboneCatalog.all.lazy.compactMap { $0.architecture as? ViT }
    func isAlike(_ other: ViT) -> Bool {
      var same = self
      same.heads = other.heads
      return same.hasBlocks(of: other)
    }
    if let known = known.first(where: isAlike) ?? known.first(where: { $0.width == width }) {
      return known.heads
    }
    guard width % 64 == 0 else {
      throw GraftError.badSetting(
        name: "heads", value: "unknown",
        reason: """
          no known model has the width \(width), and it is not a multiple of 64. Say --heads, or backbone_heads under \
          settings in a folder of the PEFT library's.
          """)
    }
    return width / 64
  }
}

extension BackboneOptions {
  /// The same without one of them.
  fileprivate func without<Value>(_ option: WritableKeyPath<BackboneOptions, Value?>) -> BackboneOptions {
    var copy = self
    copy[keyPath: option] = nil
    return copy
  }
}
