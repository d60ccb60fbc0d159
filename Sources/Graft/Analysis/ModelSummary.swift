/// Parameters, operations and token counts of a model, computed from its shape; nothing is run.
public struct ModelSummary: Codable, Sendable, Hashable {
  /// Scalars of the frozen backbone, without a head.
  public let backboneParameters: Int
  /// Scalars that the adapter trains, without head and class token.
  public let adapterParameters: Int
  /// Scalars of the classification heads, norms of early ones included.
  public let headParameters: Int
  /// All scalars that training changes: adapter, head and, where it is trained, the class token.
  public let trainableParameters: Int
  /// Tokens that the blocks see, each new count once.
  public let tokens: [Int]
  /// Multiply-accumulates an image, in units of 10^9, without norms, activations and head: the literature's "GFLOPs".
  public let gmac: Double
  /// What an image costs that leaves at a head, in the order of depth; the last one's is ``gmac``.
  public let exits: [Exit]

  /// A classification head and the work below it.
  public struct Exit: Codable, Sendable, Hashable {
    /// Blocks below it.
    public let blocks: Int
    /// Multiply-accumulates an image up to it, in units of 10^9, counted as ``ModelSummary/gmac``.
    public let gmac: Double
  }

  enum CodingKeys: String, CodingKey {
    case backboneParameters = "backbone_parameters"
    case adapterParameters = "adapter_parameters"
    case headParameters = "head_parameters"
    case trainableParameters = "trainable_parameters"
    case tokens, gmac, exits
  }

  /// Sums up a model.
  ///
  /// - Parameters:
  ///   - shape: the backbone.
  ///   - adapter: the adapter.
  ///   - classes: number of classes.
  ///   - isMerged: the adapter's products are folded into the backbone and cost nothing.
  /// - Throws: ``GraftError`` when the adapter does not fit.
  public init(
    _ shape: BackboneShape, adapter: any Adapter, classes: Int, isMerged: Bool = false
  ) throws {
    let plan = try AdapterPlan(adapter, on: shape)
    backboneParameters = shape.parameterCount
    adapterParameters = plan.parameterCount
    headParameters = plan.heads(on: shape).reduce(0) { $0 + $1.parameterCount(classes: classes) }
    let token = plan.trainsClassToken ? shape.stem.classToken : nil
    trainableParameters = adapterParameters + headParameters + (token?.parameters ?? 0)

    let walk = shape.walk(plan.places)
    tokens = walk.layouts.map(\.count).reduce(into: []) { if $0.last != $1 { $0.append($1) } }
    func billions(_ macs: (frozen: Int, joined: Int)) -> Double {
      Double(macs.frozen + (isMerged ? 0 : macs.joined)) / 1e9
    }
    let early = plan.exits.map { Exit(blocks: $0.blocks, gmac: billions(walk.macs[$0.blocks - 1])) }
    gmac = billions(walk.total)
    exits = early + [Exit(blocks: shape.depth, gmac: self.gmac)]
  }
}
