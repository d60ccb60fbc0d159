import Foundation
package import GraftOps
import GraftRuntime

/// A frozen backbone with an adapter grafted onto it and a classification head.
///
/// The model holds only what is trainable; any number of models share one ``VisionTransformer``. A model belongs to one
/// task at a time.
public final class GraftedModel {
  /// The frozen part.
  public let backbone: VisionTransformer
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
  private let sites: GraftedSites
  private let head: TrainableLinear
  private let classToken: Tensor?

  /// Grafts an adapter in its initial state.
  ///
  /// - Parameters:
  ///   - backbone: the frozen part.
  ///   - adapter: what to join.
  ///   - classes: names of at least two classes.
  ///   - seed: determines the initial values.
  /// - Throws: ``GraftError`` when the adapter does not fit; `RuntimeError` when the device has no memory.
  public init(_ backbone: VisionTransformer, adapter: any Adapter, classes: [String], seed: UInt64 = 0) throws
  {
    guard classes.count >= 2 else {
      throw GraftError.badSetting(
        name: "classes", value: "\(classes.count)", reason: "a classifier needs at least two.")
    }
    var plan = try adapter.plan(for: backbone.shape)
    let width = backbone.shape.width
    let (weight, bias): (Initializer, Initializer) =
      switch plan.head {
      case .truncatedNormal: (.truncatedNormal(deviation: 0.02), .constant(0))
      case .xavier: (.xavier(fanIn: width, fanOut: classes.count), .normal(mean: 0, deviation: 1e-6))
      }
    plan.declareLinear("head", outputs: classes.count, inputs: width, weight: weight, bias: bias)
    if plan.trainsClassToken { plan.declare("cls_token", [1, 1, width], .copied(from: "cls_token")) }
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
    try plan.join(tensors, &sites)
    self.sites = sites
    head = tensors.linear("head")
    classToken = plan.trainsClassToken ? tensors["cls_token"] : nil
    self.backbone = backbone
    self.adapter = adapter
    self.classes = classes
    summary = try ModelSummary(backbone.shape, adapter: adapter, classes: classes.count)
  }

  /// Logits of each image of a batch.
  ///
  /// - Throws: `RuntimeError` when the device fails or has no memory left.
  public func logits(_ images: ImageBatch) throws -> [[Float]] {
    let values = try logits(of: backbone.patchMatrix(images), on: Tape()).floats()
    return (0..<images.count).map { Array(values[$0 * classes.count..<($0 + 1) * classes.count]) }
  }

  /// Classes of each image with their probabilities, the likeliest first.
  ///
  /// - Throws: `RuntimeError` when the device fails or has no memory left.
  public func predict(_ images: ImageBatch) throws -> [[Prediction]] {
    try logits(images).map(predictions)
  }

  /// Classes with their probabilities from one image's logits, the likeliest first.
  public func predictions(_ logits: [Float]) -> [Prediction] {
    zip(classes, softmax(logits)).map { Prediction(className: $0, probability: $1) }
      .sorted { $0.probability > $1.probability }
  }

  /// Logits (B, K) of a matrix of patches.
  package func logits(of patches: Tensor, dropout: Float = 0, on tape: Tape) throws -> Tensor {
    let features = try backbone.features(
      of: patches, sites: sites, classToken: classToken, dropout: dropout, on: tape)
    return try head(features, on: tape)
  }

  /// Nothing below the head is trained: the same pixels have the same features in every pass.
  var trainsHeadOnly: Bool { arena.parameters.allSatisfy { $0.name.hasPrefix("head.") } }

  /// Logits (B, K) of a batch; with a cache, the features of images that were seen before are not computed again.
  func logits(
    of images: ImageBatch, cache: FeatureCache?, dropout: Float = 0, on tape: Tape
  ) throws -> Tensor {
    guard let cache, !images.identifiers.isEmpty else {
      return try logits(of: backbone.patchMatrix(images), dropout: dropout, on: tape)
    }
    let features = try cache.features(images.identifiers) {
      try backbone.features(of: backbone.patchMatrix(images), on: Tape())
    }
    return try head(features, on: tape)
  }
}

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
