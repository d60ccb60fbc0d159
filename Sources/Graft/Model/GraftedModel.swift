package import GraftOps
import GraftRuntime
import GraftSystem

/// A frozen backbone with an adapter grafted onto it and its classification heads: one, or several at growing depth.
///
/// The model holds only what is trainable; any number of models share one ``Backbone``. A model belongs to one
/// task at a time.
public final class GraftedModel {
  /// The frozen part.
  public let backbone: Backbone
  /// The adapter's settings.
  public let adapter: any Adapter
  /// Names of the classes, in the order of the logits.
  public let classes: [String]
  /// Counts of parameters and operations.
  public let summary: ModelSummary
  /// Everything trainable.
  package let arena: ParameterArena
  /// Running statistics of the batch normalisations, by name.
  package let statistics: [(name: String, values: BatchNormStatistics)]
  /// Where images leave that the early heads are sure of; `nil` sends all through every block.
  public var calibration: ExitCalibration?
  /// Why the model must not be used any more.
  var damage: String?
  /// How many of the first trainable tensors are the adapter's; heads and class token follow.
  let adapterTensorCount: Int
  /// What each head's loss counts at some progress of training, in 0...1.
  let lossWeights: @Sendable (_ progress: Double) -> [Float]
  /// Probability with which an element of the adapter's gradients is dropped at each step.
  let gradientDrop: Float
  /// The blocks below everything trainable.
  let prefix: FrozenPrefix
  private let sites: GraftedSites
  /// All heads in the order of depth.
  private let heads: [ClassificationHead]
  let classToken: Tensor?
  /// What the last block's parts see.
  private let lastLayout: TokenLayout?

  /// Grafts an adapter in its initial state.
  ///
  /// - Parameters:
  ///   - backbone: the frozen part.
  ///   - adapter: what to join.
  ///   - classes: names of at least two classes.
  ///   - seed: determines the initial values.
  /// - Throws: ``GraftError`` when the adapter does not fit; `RuntimeError` when the device has no memory.
  public init(_ backbone: Backbone, adapter: any Adapter, classes: [String], seed: UInt64 = 0) throws {
    guard classes.count >= 2 else {
      throw GraftError.badSetting(
        name: "classes", value: "\(classes.count)", reason: "a classifier needs at least two.")
    }
    var plan = try AdapterPlan(adapter, on: backbone.shape)
    adapterTensorCount = plan.declarations.count
    let heads = plan.heads(on: backbone.shape)
    for head in heads { head.declare(in: &plan, classes: classes.count) }
    let token = plan.trainsClassToken ? backbone.shape.stem.classToken : nil
    if let token { plan.declare(token.name, token.shape, .copied(from: token.name)) }
    let declared = plan.declarations.map {
      (
        name: $0.name, shape: $0.shape,
        values: $0.initializer.values(count: $0.count, name: $0.name, seed: seed, from: backbone)
      )
    }

    let context = backbone.context
    arena = try ParameterArena(declared, on: context)
    statistics = try plan.statistics.map {
      ($0.name, try BatchNormStatistics(channels: $0.channels, on: context))
    }
    let tensors = TensorLookup(
      tensors: Dictionary(uniqueKeysWithValues: arena.parameters.map { ($0.name, $0.value) }),
      statistics: Dictionary(uniqueKeysWithValues: statistics.map { ($0.name, $0.values) }),
      backbone: backbone)
    var sites = GraftedSites()
    for place in plan.places { try sites.join(place.make(tensors), at: place.site, of: adapter.name) }
    self.sites = sites
    self.heads = heads.map { ClassificationHead($0, tensors) }
    prefix = FrozenPrefix(
      backbone.shape, sites: sites, heads: self.heads, trainsClassToken: token != nil)
    lastLayout = backbone.shape.walk(plan.places).layouts.last
    lossWeights = plan.lossWeights
    gradientDrop = plan.gradientDrop
    classToken = token.map { tensors[$0.name] }
    self.backbone = backbone
    self.adapter = adapter
    self.classes = classes
    summary = try ModelSummary(backbone.shape, adapter: adapter, classes: classes.count)
  }

  /// Logits of each image of a batch, all blocks run.
  ///
  /// - Throws: `RuntimeError` when the device fails or has no memory left.
  public func logits(_ images: ImageBatch) throws -> [[Float]] {
    try rows(logits(of: backbone.input(images), on: Tape()).floats())
  }

  /// Classes of each image with their probabilities, the likeliest first.
  ///
  /// - Parameters:
  ///   - images: the batch.
  ///   - thresholds: where images may leave early; see ``decide(_:thresholds:)``.
  /// - Throws: ``GraftError`` for thresholds that do not fit; `RuntimeError` when the device fails or has no memory
  ///   left.
  public func predict(_ images: ImageBatch, thresholds: [Double]? = nil) throws -> [[Prediction]] {
    try decide(images, thresholds: thresholds).map { predictions($0.logits) }
  }

  /// Classes with their probabilities from one image's logits, the likeliest first.
  public func predictions(_ logits: [Float]) -> [Prediction] {
    zip(classes, softmax(logits)).map { Prediction(className: $0, probability: $1) }
      .sorted { $0.probability > $1.probability }
  }

  /// Logits of each image, from the first head that is sure enough.
  ///
  /// An image leaves at the first exit where its largest softmax probability is at least the exit's threshold; the last
  /// head takes whatever is left. What stays is gathered into a smaller batch on the device, so that the blocks above
  /// work on it alone; only logits come back to the host.
  ///
  /// - Parameters:
  ///   - images: the batch.
  ///   - thresholds: one for each exit but the last, or a single one for all of them. Above 1 nothing leaves, and the
  ///     logits are those of ``logits(_:)`` to the bit; at 0 everything leaves. By default those of ``calibration``, and
  ///     where there are none everything runs through.
  /// - Throws: ``GraftError/badSetting(name:value:reason:)`` for another number of thresholds; `RuntimeError` when the
  ///   device fails or has no memory left.
  public func decide(_ images: ImageBatch, thresholds: [Double]? = nil) throws -> [Decision] {
    guard let thresholds = try thresholds.map(exitThresholds) ?? calibration?.thresholds else {
      return try logits(images).map { Decision(logits: $0, exit: heads.count - 1) }
    }
    let pass = pass(on: Tape())
    var tokens = try embed(backbone.input(images), pass)
    var decisions = [Decision](
      repeating: Decision(logits: [], exit: heads.count - 1), count: images.count)
    var staying = Array(0..<images.count)
    for (exit, head) in heads.enumerated() {
      let below = exit == 0 ? 0 : heads[exit - 1].blocks
      let isLast = exit == heads.count - 1
      tokens = try backbone.advance(
        tokens, through: below..<head.blocks, keeping: isLast ? backbone.kept : .all, pass)
      // No probability is above 1: such an exit is not asked.
      guard isLast || thresholds[exit] <= 1 else { continue }
      let logits = try rows(head(reading(head, of: tokens, pass), on: pass.tape).floats())
      let places = logits.indices.filter { place in
        let leaves = isLast || confidence(logits[place]) >= thresholds[exit]
        if leaves { decisions[staying[place]] = Decision(logits: logits[place], exit: exit) }
        return !leaves
      }
      if places.isEmpty { break }
      if places.count < staying.count {
        tokens = tokens.with(try pass.tape.gatherImages(tokens.values, places))
        staying = places.map { staying[$0] }
      }
    }
    return decisions
  }

  /// Multiply-accumulates an image that a run really takes, in units of 10^9; ``summary`` has the literature's count,
  /// of all tokens through all blocks.
  package var executedGMAC: Double {
    guard case .first(let kept) = backbone.kept, let last = backbone.shape.blocks.last,
      let layout = lastLayout, sites.areTokenwise(behindFirstPartOf: last)
    else { return summary.gmac }
    return summary.gmac - Double(last.unreadMACs(of: layout, keeping: kept)) / 1e9
  }

  /// Blocks below everything trainable: what they make of the same pixels is the same in every pass.
  public var frozenBlocks: Int { prefix.blocks }

  /// Number of heads, the last one included.
  public var exitCount: Int { heads.count }

  /// One threshold for each exit but the last.
  ///
  /// - Throws: ``GraftError/badSetting(name:value:reason:)`` when they are too few, too many, negative or no numbers.
  public func exitThresholds(_ given: [Double]) throws -> [Double] {
    func refuse(_ reason: String) -> GraftError {
      .badSetting(name: "thresholds", value: given.map { "\($0)" }.joined(separator: ","), reason: reason)
    }
    let early = heads.count - 1
    guard early > 0 else { throw refuse("the model has no early exits; train one with the adapter dyn.") }
    guard given.count == early || given.count == 1 else {
      throw refuse(
        "the model has \(early) early exits, after blocks \(heads.dropLast().map { "\($0.blocks)" }.joined(separator: ", ")); "
          + "give one threshold for each, or one for all.")
    }
    guard given.allSatisfy({ $0 >= 0 }) else { throw refuse("a threshold is a number that is not negative.") }
    return given.count == early ? given : [Double](repeating: given[0], count: early)
  }

  func pass(
    on tape: Tape, regularization: BranchRegularization = .none
  ) -> Pass { Pass(tape: tape, sites: sites, regularization: regularization) }

  private func embed(_ input: Tensor, _ pass: Pass) throws -> Tokens {
    try requireWhole()
    return try backbone.embed(input, classToken: classToken, pass)
  }

  /// What a head reads of the tokens that leave the blocks below it.
  private func reading(_ head: ClassificationHead, of tokens: Tokens, _ pass: Pass) throws -> Tensor {
    try head.readsFeature ? backbone.feature(tokens, pass) : backbone.pooled(tokens, on: pass.tape)
  }

  /// What some of the heads read, in the order of depth.
  ///
  /// - Parameter tokens: as they leave the first `blocks` blocks.
  private func readings(
    of tokens: Tokens, after blocks: Int = 0, for heads: ArraySlice<ClassificationHead>, _ pass: Pass
  ) throws -> [Tensor] {
    var tokens = tokens
    var below = blocks
    return try heads.map { head in
      tokens = try backbone.advance(
        tokens, through: below..<head.blocks,
        keeping: head.blocks == heads.last?.blocks && head.readsFeature ? backbone.kept : .all, pass)
      below = head.blocks
      return try reading(head, of: tokens, pass)
    }
  }

  /// Logits (B, K) of a backbone's input from the last head.
  package func logits(of input: Tensor, regularization: BranchRegularization = .none, on tape: Tape) throws
    -> Tensor
  {
    try logits(of: input, lastOnly: true, regularization: regularization, on: tape)[0]
  }

  /// Logits (B, K) of a backbone's input from every head, or from the last alone.
  func logits(
    of input: Tensor, lastOnly: Bool, regularization: BranchRegularization = .none, on tape: Tape
  ) throws -> [Tensor] {
    let asked = lastOnly ? heads.suffix(1) : heads[...]
    let pass = pass(on: tape, regularization: regularization)
    let read = try readings(of: embed(input, pass), for: asked, pass)
    return try zip(read, asked).map { try $1($0, on: tape) }
  }

  /// Logits (B, K) of a batch from every head, or from the last alone.
  ///
  /// With a cache, what the frozen prefix makes of images that were seen before is not computed again.
  func logits(
    of images: ImageBatch, lastOnly: Bool, cache: FeatureCache? = nil,
    regularization: BranchRegularization = .none, on tape: Tape
  ) throws -> [Tensor] {
    guard let cache, !images.identifiers.isEmpty else {
      return try logits(
        of: backbone.input(images), lastOnly: lastOnly, regularization: regularization, on: tape)
    }
    precondition(regularization == .none, "a prefix that is regularised differs from pass to pass")
    let features = try cache.features(of: images) { try prefixFeatures(backbone.input(images)) }
    let inside = features.prefix(prefix.heads)
    let asked = lastOnly ? heads.suffix(1) : heads[...]
    let above = asked.dropFirst(max(0, prefix.heads - asked.startIndex))
    var read = Array(inside.suffix(asked.count - above.count))
    if !above.isEmpty {
      let pass = pass(on: tape)
      let tokens = try sites.apply(
        at: .afterBlock(prefix.blocks - 1), to: Tokens(features[prefix.heads], backbone.shape.start), on: tape
      )
      read += try readings(of: tokens, after: prefix.blocks, for: above, pass)
    }
    return try zip(read, asked).map { try $1($0, on: tape) }
  }

  /// What the frozen prefix makes of a backbone's input; shapes as ``FrozenPrefix/shapes``, with the batch in front.
  private func prefixFeatures(_ input: Tensor) throws -> [Tensor] {
    let bare = Pass(tape: Tape())
    var tokens = try embed(input, pass(on: bare.tape))
    var below = 0
    func advance(to blocks: Int) throws {
      // Nothing but the last head reads what leaves the last of all blocks, unless something stands behind it.
      let isLast = prefix.heads == heads.count && blocks == prefix.blocks
      tokens = try backbone.advance(
        tokens, through: below..<blocks, keeping: isLast ? backbone.kept : .all, bare)
      below = blocks
    }
    var features = try heads.prefix(prefix.heads).map { head in
      try advance(to: head.blocks)
      return try reading(head, of: tokens, bare)
    }
    if prefix.heads < heads.count {
      try advance(to: prefix.blocks)
      features.append(tokens.values)
    }
    return features
  }

  /// A flat list of logits, image by image.
  func rows(_ values: [Float]) -> [[Float]] {
    stride(from: 0, to: values.count, by: classes.count).map { Array(values[$0..<$0 + classes.count]) }
  }
}

/// What a model decided about one image, and at which exit.
public struct Decision: Sendable, Hashable {
  /// Logits of the head that decided.
  public let logits: [Float]
  /// Index of that head in the order of depth, from 0; the last is behind the last block.
  public let exit: Int
}

/// How sure a head is: its largest softmax probability.
func confidence(_ logits: [Float]) -> Double { Double(softmax(logits).max() ?? 0) }

/// A class and how likely it is.
public struct Prediction: Codable, Sendable, Hashable {
  /// The class.
  public let className: String
  /// Its softmax probability.
  public let probability: Float

  enum CodingKeys: String, CodingKey {
    case className = "class"
    case probability
  }
}

func softmax(_ logits: [Float]) -> [Float] {
  let most = logits.max() ?? 0
  let exponentials = logits.map { exp($0 - most) }
  let sum = exponentials.reduce(0, +)
  return exponentials.map { $0 / sum }
}
