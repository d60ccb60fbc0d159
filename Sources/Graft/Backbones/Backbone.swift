package import GraftOps
public import GraftRuntime
public import SystemPackage

/// A frozen backbone on a device, its weights prepared once for that device.
///
/// What it computes is its ``BackboneShape``. One backbone serves any number of models at once.
public final class Backbone {
  /// Sizes, conventions and operations.
  public let shape: BackboneShape
  /// The file the weights came from; `nil` for random weights.
  public let file: (any TensorFile)?
  /// The file as the canonical names see it.
  let weights: CanonicalWeights?
  /// How the stored positions were brought to this image size.
  public let positionResampling: PositionResampling
  /// What was read off the file, and who said the rest; `nil` for random weights.
  public let reading: BackboneReading?
  /// The device.
  public let context: Context

  /// What of the shape is assumed: the file does not tell it, and nobody has said it.
  public var assumed: Set<BackboneFact> { reading?.assumed ?? [] }

  private let stem: FrozenStem
  private let blocks: [FrozenBlock]
  private let end: FrozenEnd
  private let vectors: [String: [Float]]

  /// Loads a checkpoint in any container and in the names of any library that Graft knows.
  ///
  /// - Parameters:
  ///   - path: a file of weights (safetensors, shards, npz, or PyTorch's), or a folder with one.
  ///   - options: what the file cannot tell.
  ///   - context: the device.
  /// - Throws: `CheckpointError` naming missing, unexpected and misshapen tensors; ``GraftError`` for an image size that
  ///   does not fit; `RuntimeError` when the device has no memory.
  public convenience init(path: FilePath, options: BackboneOptions = .init(), on context: Context) throws {
    try self.init(reading: CanonicalWeights(TensorFiles.open(path)), options: options, on: context)
  }

  convenience init(reading weights: CanonicalWeights, options: BackboneOptions, on context: Context) throws {
    let reading = try BackboneReading(weights, options: options)
    try self.init(
      reading.architecture.shape(), weights: weights, file: weights, resampling: reading.positionResampling,
      reading: reading, on: context)
  }

  /// Makes a backbone with seeded random weights, for measurements.
  ///
  /// - Throws: ``GraftError`` for settings that contradict each other; `RuntimeError` when the device has no memory.
  public convenience init(randomly architecture: any Architecture, seed: UInt64 = 0, on context: Context)
    throws
  {
    try self.init(
      architecture.shape(), weights: RandomWeights(seed: seed), file: nil, resampling: .bicubicAntialias,
      on: context)
  }

  init(
    _ shape: BackboneShape, weights: any WeightSource, file: CanonicalWeights?,
    resampling: PositionResampling,
    reading: BackboneReading? = nil, on context: Context
  ) throws {
    self.shape = shape
    self.reading = reading
    self.weights = file
    self.file = file?.file
    positionResampling = resampling
    self.context = context
    var reader = WeightReader(weights, on: context)
    let shared = FrozenPart.Shared(shape, resampling: resampling, on: context)
    stem = try FrozenStem(shape, resampling: resampling, &reader, on: context)
    blocks = try shape.blocks.map { try FrozenBlock($0, depth: shape.depth, shared, &reader) }
    end = try FrozenEnd(shape.end, &reader, on: context)
    vectors = reader.vectors
  }

  /// The feature of each image, (B, featureWidth).
  ///
  /// - Parameters:
  ///   - input: from ``input(_:)``.
  ///   - sites: the adapters' modules.
  ///   - classToken: a trained class token in place of the backbone's.
  ///   - regularization: of the frozen branches in training.
  package func features(
    of input: Tensor, sites: GraftedSites = .init(), classToken: Tensor? = nil,
    regularization: BranchRegularization = .none, on tape: Tape
  ) throws -> Tensor {
    let pass = Pass(tape: tape, sites: sites, regularization: regularization)
    let tokens = try embed(input, classToken: classToken, pass)
    return try feature(advance(tokens, through: 0..<blocks.count, keeping: kept, pass), pass)
  }

  /// What ``feature(_:_:)`` reads of the tokens that leave the last block.
  var kept: KeptTokens { shape.end.keptTokens.map(KeptTokens.first) ?? .all }

  /// The tokens after some of the blocks.
  ///
  /// - Parameter kept: what will be read of the result.
  func advance(
    _ tokens: Tokens, through range: Range<Int>, keeping kept: KeptTokens = .all, _ pass: Pass
  ) throws -> Tokens {
    try blocks[range].reduce(tokens) { tokens, block in
      let kept = block.shape.index == range.upperBound - 1 ? kept : .all
      return try pass.checkpoint(.blocks, { try block(tokens, keeping: kept, $0) }, keeping: \.values)
    }
  }

  /// The token sequence that the first block receives.
  ///
  /// - Parameter classToken: a trained one in place of the backbone's.
  func embed(_ input: Tensor, classToken: Tensor?, _ pass: Pass) throws -> Tokens {
    try stem(input, classToken: classToken, pass)
  }

  /// What an early exit reads of the tokens that leave a block, (B, D): pooled as at the end, without the norm there.
  func pooled(_ tokens: Tokens, on tape: Tape) throws -> Tensor { try end.pooled(tokens, on: tape) }

  /// The feature (B, featureWidth) of tokens that leave the last block: norm and pooling in the family's order.
  func feature(_ tokens: Tokens, _ pass: Pass) throws -> Tensor { try end(tokens, pass) }

  /// Tokens that leave the last block, behind the last norm where that stands before the pooling.
  func normalized(_ tokens: Tokens, _ pass: Pass) throws -> Tokens { try end.normalized(tokens, pass) }

  /// Values of a tensor with one dimension, or of the class token, by timm's name.
  func vector(_ name: String) -> [Float] {
    guard let values = vectors[name] else { preconditionFailure("\(name) is no vector of this backbone") }
    return values
  }

  /// Images as the matrix of flattened patches that the embedding multiplies, (B * cells, 3 * patch^2).
  package func input(_ images: ImageBatch) throws -> Tensor {
    guard images.imageSize == shape.imageSize else {
      throw GraftError.badSetting(
        name: "image size", value: "\(images.imageSize)",
        reason: "the backbone was prepared for \(shape.imageSize) pixels.")
    }
    let bytes = try Tensor(
      bytes: images.pixels, shape: [images.count, images.imageSize.height, images.imageSize.width, 3],
      on: context)
    return try Patches.extract(
      bytes: bytes, patch: shape.stem.patchSize, mean: shape.normalization.mean, std: shape.normalization.std)
  }

  /// The same from pixels that are normalised already, (B, 3, H, W).
  package func input(normalized images: Tensor) throws -> Tensor {
    try Patches.extract(normalized: images, patch: shape.stem.patchSize)
  }
}
