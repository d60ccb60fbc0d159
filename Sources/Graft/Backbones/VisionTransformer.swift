package import GraftOps
public import GraftRuntime
public import SystemPackage

/// A frozen Vision Transformer on a device, its weights prepared once for that device.
///
///     t = [cls ; patches(image)] + pos
///     t = t + ls1 * proj(attention(qkv(LN1(t))));   t = t + ls2 * fc2(GELU(fc1(LN2(t))))    for each block
///     feature = LN(t)[0]
///
/// Layer scale is folded into `proj` and `fc2` at load. One backbone serves any number of models at once.
/// Source: arXiv 2010.11929, tensor names and conventions of timm.
public final class VisionTransformer {
  /// Sizes and conventions.
  public let shape: VisionTransformerShape
  /// The file the weights came from; `nil` for random weights.
  public let file: SafetensorsFile?
  /// How the stored position embedding was brought to this image size.
  public let positionResampling: PositionResampling
  /// What of the shape is assumed: the file does not tell it, and nobody has said it.
  public let assumed: Set<BackboneFact>
  /// The device.
  public let context: Context

  private let patches: PreparedLinear
  private let position: Tensor
  private let blocks: [Block]
  private let norm: FrozenNorm
  let classToken: Tensor
  /// Values of the small tensors (class token, biases, norms) that adapters may start from, by timm's names.
  private let vectors: [String: [Float]]

  /// Loads a timm-named checkpoint.
  ///
  /// - Parameters:
  ///   - path: a safetensors file (fp32, fp16 or bf16).
  ///   - options: what the file cannot tell.
  ///   - context: the device.
  /// - Throws: `CheckpointError` naming missing, unexpected and misshapen tensors; ``GraftError`` for an image size that
  ///   does not fit; `RuntimeError` when the device has no memory.
  public convenience init(path: FilePath, options: BackboneOptions = .init(), on context: Context) throws {
    let file = try SafetensorsFile(path: path)
    let shape = try VisionTransformerShape(reading: file, options: options)
    try self.init(
      shape, weights: file, file: file, resampling: options.positionResampling, assumed: options.assumed,
      on: context)
  }

  /// Makes a backbone with seeded random weights, for measurements.
  ///
  /// - Throws: `RuntimeError` when the device has no memory.
  public convenience init(randomly shape: VisionTransformerShape, seed: UInt64 = 0, on context: Context)
    throws
  {
    try self.init(
      shape, weights: RandomWeights(seed: seed), file: nil, resampling: .bicubicAntialias, on: context)
  }

  init(
    _ shape: VisionTransformerShape, weights: any WeightSource, file: SafetensorsFile?,
    resampling: PositionResampling, assumed: Set<BackboneFact> = [], on context: Context
  ) throws {
    self.shape = shape
    self.assumed = assumed
    self.file = file
    positionResampling = resampling
    self.context = context
    let d = shape.width
    let names = shape.tensorShapes
    var vectors: [String: [Float]] = [:]
    func read(_ name: String) throws -> [Float] {
      guard let size = names[name] else { preconditionFailure("\(name) is not a tensor of this shape") }
      let values = try weights.floats(name, size)
      if size.count == 1 || name == "cls_token" { vectors[name] = values }
      return values
    }
    func norm(_ name: String) throws -> FrozenNorm {
      FrozenNorm(
        weight: try Tensor(read("\(name).weight"), shape: [d], on: context),
        bias: try Tensor(read("\(name).bias"), shape: [d], on: context), epsilon: shape.epsilon)
    }
    func linear(_ name: String, _ outputs: Int, _ inputs: Int, layerScale: String? = nil) throws
      -> PreparedLinear
    {
      var weight = try read("\(name).weight")
      var bias = try read("\(name).bias")
      if let layerScale, shape.hasLayerScale {
        let gamma = try read("\(layerScale).gamma")
        for row in 0..<outputs {
          bias[row] *= gamma[row]
          for column in 0..<inputs { weight[row * inputs + column] *= gamma[row] }
        }
      }
      return try PreparedLinear(weight: weight, bias: bias, outputs: outputs, inputs: inputs, on: context)
    }

    func scale(_ name: String) throws -> Tensor? {
      shape.hasLayerScale ? try Tensor(read("\(name).gamma"), shape: [d], on: context) : nil
    }

    patches = try linear("patch_embed.proj", d, 3 * shape.patchSize * shape.patchSize)
    classToken = try Tensor(read("cls_token"), shape: [d], on: context)
    let stored = try read("pos_embed")
    let grid = PositionEmbedding.Grid(height: shape.grid, width: shape.grid)
    let storedGrid = PositionEmbedding.Grid(height: shape.positionGrid, width: shape.positionGrid)
    let resampled = PositionEmbedding.resample(
      Array(stored[d...]), from: storedGrid, to: grid, dimension: d, convention: resampling)
    position = try Tensor(stored[..<d] + resampled, shape: [shape.tokens, d], on: context)
    blocks = try (0..<shape.depth).map { index in
      let name = "blocks.\(index)"
      return Block(
        index: index, depthFraction: Float(index) / Float(max(shape.depth - 1, 1)), heads: shape.heads,
        norm1: try norm("\(name).norm1"), qkv: try linear("\(name).attn.qkv", 3 * d, d),
        projection: try linear("\(name).attn.proj", d, d, layerScale: "\(name).ls1"),
        norm2: try norm("\(name).norm2"), fc1: try linear("\(name).mlp.fc1", shape.hiddenWidth, d),
        fc2: try linear("\(name).mlp.fc2", d, shape.hiddenWidth, layerScale: "\(name).ls2"),
        scale1: try scale("\(name).ls1"), scale2: try scale("\(name).ls2"))
    }
    self.norm = try norm("norm")
    self.vectors = vectors
  }

  /// The class token's feature of each image, (B, D).
  ///
  /// - Parameters:
  ///   - patches: from ``patchMatrix(_:)``.
  ///   - sites: the adapters' modules.
  ///   - classToken: a trained class token in place of the backbone's.
  ///   - regularization: of the frozen branches in training.
  package func features(
    of patches: Tensor, sites: GraftedSites = .init(), classToken: Tensor? = nil,
    regularization: BranchRegularization = .none, on tape: Tape
  ) throws -> Tensor {
    let tokens = try advance(
      embed(patches, sites: sites, classToken: classToken, on: tape), through: 0..<blocks.count, sites: sites,
      keeping: .classToken, regularization: regularization, on: tape)
    return try finalNorm(tape.token(tokens.values, at: 0), sites: sites, on: tape)
  }

  /// The tokens after some of the blocks.
  ///
  /// - Parameter kept: what will be read of the result; where that is the class token, and nothing behind the last
  ///   attention mixes tokens, it alone asks there and goes on, which changes no bit of it.
  func advance(
    _ tokens: Tokens, through range: Range<Int>, sites: GraftedSites, keeping kept: KeptTokens = .all,
    regularization: BranchRegularization = .none, on tape: Tape
  ) throws -> Tokens {
    try blocks[range].reduce(tokens) { tokens, block in
      let kept = block.index == range.upperBound - 1 ? kept : .all
      return try tape.checkpoint(
        .blocks, { try block(tokens, sites: sites, keeping: kept, regularization: regularization, on: $0) },
        keeping: \.values)
    }
  }

  /// Multiply-accumulates an image that the last block is spared because its class token alone is read.
  func sparedMACs(tokens: Int, sites: GraftedSites) -> Int {
    let isSpared = sites.areTokenwise(behindAttentionOf: shape.depth - 1)
    return isSpared ? (tokens - 1) * shape.width * (2 * tokens + shape.width + 2 * shape.hiddenWidth) : 0
  }

  /// The token sequence that the first block receives.
  func embed(_ patches: Tensor, sites: GraftedSites, classToken: Tensor?, on tape: Tape) throws -> Tokens {
    let grid = shape.grid
    let batch = patches.rows / (grid * grid)
    let embedded = try sites.adjust(
      tape.linear(patches, self.patches), of: .patchEmbedding, reading: patches, on: tape)
    let sequence = try tape.prependTokens(
      tape.reshape(embedded, to: [batch, grid * grid, shape.width]), prefix: classToken ?? self.classToken,
      position: position)
    return Tokens(sequence, rows: grid, columns: grid)
  }

  /// The norm behind the last block, of any rows of width D.
  func finalNorm(_ rows: Tensor, sites: GraftedSites, on tape: Tape) throws -> Tensor {
    try sites.adjust(norm(rows, on: tape), of: .norm, reading: rows, on: tape)
  }

  /// Values of a tensor with one dimension, or of the class token, by timm's name.
  func vector(_ name: String) -> [Float] {
    guard let values = vectors[name] else { preconditionFailure("\(name) is no vector of this backbone") }
    return values
  }

  /// Images as the matrix of flattened patches that the embedding multiplies, (B * grid^2, 3 * patch^2).
  package func patchMatrix(_ images: ImageBatch) throws -> Tensor {
    guard images.imageSize == shape.imageSize else {
      throw GraftError.badSetting(
        name: "image size", value: "\(images.imageSize)",
        reason: "the backbone was prepared for \(shape.imageSize) pixels.")
    }
    let bytes = try Tensor(
      bytes: images.pixels, shape: [images.count, images.imageSize, images.imageSize, 3], on: context)
    return try Patches.extract(
      bytes: bytes, patch: shape.patchSize, mean: shape.normalization.mean, std: shape.normalization.std)
  }

  /// The same from pixels that are normalised already, (B, 3, S, S).
  package func patchMatrix(normalized images: Tensor) throws -> Tensor {
    try Patches.extract(normalized: images, patch: shape.patchSize)
  }
}

/// What is read of the tokens that leave a block.
enum KeptTokens {
  case all
  case classToken
}

/// A frozen layer normalisation.
struct FrozenNorm {
  let weight: Tensor
  let bias: Tensor
  let epsilon: Float

  func callAsFunction(_ input: Tensor, on tape: Tape) throws -> Tensor {
    try tape.layerNorm(input, weight: weight, bias: bias, epsilon: epsilon)
  }
}

/// One pre-norm block with its graft sites.
struct Block {
  let index: Int
  /// 0 for the first block, 1 for the last.
  let depthFraction: Float
  let heads: Int
  let norm1: FrozenNorm
  let qkv, projection: PreparedLinear
  let norm2: FrozenNorm
  let fc1, fc2: PreparedLinear
  /// Layer scale of the two branches, which `projection` and `fc2` carry already.
  let scale1, scale2: Tensor?

  func callAsFunction(
    _ tokens: Tokens, sites: GraftedSites, keeping kept: KeptTokens, regularization: BranchRegularization,
    on tape: Tape
  ) throws -> Tokens {
    let dropPath = regularization.dropPath * depthFraction
    func normalized(_ input: Tokens, _ norm: FrozenNorm, _ operation: FrozenOperation, on tape: Tape) throws
      -> Tokens
    {
      input.with(
        try sites.adjust(norm(input.values, on: tape), of: operation, reading: input.values, on: tape))
    }
    /// What a branch reads: its input behind the norm and what stands before the branch.
    ///
    /// - Parameter known: the input behind the norm, where a module beside the branch reads it too.
    func entry(
      _ input: Tokens, known: Tokens?, _ norm: FrozenNorm, _ operation: FrozenOperation, before: Site,
      on tape: Tape
    ) throws -> Tokens {
      func read(on tape: Tape) throws -> Tokens {
        try sites.apply(at: before, to: known ?? normalized(input, norm, operation, on: tape), on: tape)
      }
      // A norm alone keeps its input and no more.
      guard known == nil, sites.isTaken(before) || sites.isTaken(operation) else { return try read(on: tape) }
      return try tape.checkpoint(.norms, read, keeping: \.values)
    }
    func linear(
      _ input: Tensor, _ layer: PreparedLinear, _ operation: FrozenOperation, activation: Activation = .none,
      readBy reader: PreparedLinear? = nil, on tape: Tape
    ) throws -> Tensor {
      guard sites.isTaken(operation) else {
        return try tape.linear(input, layer, activation: activation, readBy: reader)
      }
      let output = try sites.adjust(tape.linear(input, layer), of: operation, reading: input, on: tape)
      return try tape.activation(output, activation)
    }
    /// The last layer of a branch, added to the residual stream: in the product's last step if nothing is between.
    func join(
      _ input: Tensor, _ layer: PreparedLinear, _ operation: FrozenOperation, _ scale: Tensor?, after: Site,
      to residual: Tokens
    ) throws -> Tensor {
      let drops = tape.isTraining && (regularization.dropout > 0 || dropPath > 0)
      guard drops || sites.isTaken(operation) || sites.isTaken(after) else {
        return try tape.linear(input, layer, residual: residual.values)
      }
      var branch = try sites.adjust(
        tape.linear(input, layer), of: operation, reading: input, layerScale: scale, on: tape)
      branch = try tape.dropout(branch, probability: regularization.dropout)
      branch = try sites.apply(at: after, to: residual.with(branch), on: tape).values
      branch = try tape.dropPath(branch, probability: dropPath)
      return try tape.add(residual.values, branch)
    }

    var start = try sites.apply(at: .beforeBlock(index), to: tokens, on: tape)
    var u =
      sites.isTaken(.besideAttention(block: index))
      ? try normalized(start, norm1, .norm1(block: index), on: tape) : nil
    let attended = try entry(
      start, known: u, norm1, .norm1(block: index), before: .beforeAttention(block: index), on: tape)
    let isLast = kept == .classToken && sites.areTokenwise(behindAttentionOf: index)
    let mixed = try tape.attention(
      linear(attended.values, qkv, .qkv(block: index), on: tape), heads: heads, queries: isLast ? 1 : nil,
      variant: qkv.attention)
    if isLast {
      start = try start.classTokens(on: tape)
      u = try u?.classTokens(on: tape)
    }
    var x = try join(
      mixed, projection, .projection(block: index), scale1, after: .afterAttention(block: index),
      to: start)
    if let u { x = try sites.add(at: .besideAttention(block: index), reading: u, to: x, on: tape) }
    x = try sites.add(at: .aroundAttention(block: index), reading: start, to: x, on: tape)

    let middle = start.with(x)
    let v =
      sites.isTaken(.besideMLP(block: index))
      ? try normalized(middle, norm2, .norm2(block: index), on: tape) : nil
    let hidden = try tape.checkpoint(
      .hidden,
      { tape in
        let read = try entry(
          middle, known: v, norm2, .norm2(block: index), before: .beforeMLP(block: index), on: tape)
        // What stands on the second layer reads its input, too.
        let reader = sites.isTaken(.fc2(block: index)) ? nil : fc2
        return try linear(
          read.values, fc1, .fc1(block: index), activation: .gelu, readBy: reader, on: tape)
      }, keeping: \.self)
    x = try join(hidden, fc2, .fc2(block: index), scale2, after: .afterMLP(block: index), to: middle)
    if let v { x = try sites.add(at: .besideMLP(block: index), reading: v, to: x, on: tape) }
    x = try sites.add(at: .aroundMLP(block: index), reading: middle, to: x, on: tape)
    return try sites.apply(at: .afterBlock(index), to: start.with(x), on: tape)
  }
}
