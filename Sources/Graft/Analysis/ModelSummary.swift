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
    _ shape: VisionTransformerShape, adapter: any Adapter, classes: Int, isMerged: Bool = false
  ) throws {
    let plan = try adapter.plan(for: shape)
    backboneParameters = shape.parameterCount
    adapterParameters = plan.parameterCount
    let heads = plan.heads(depth: shape.depth)
    headParameters = heads.reduce(0) { $0 + $1.parameterCount(width: shape.width, classes: classes) }
    trainableParameters = adapterParameters + headParameters + (plan.trainsClassToken ? shape.width : 0)

    var costs: [Site: [AdapterPlan.SiteCost]] = [:]
    for cost in plan.costs { costs[cost.site, default: []].append(cost) }
    var side = shape.grid
    var prompts = 0
    var macs = shape.embeddingMACs
    var counts: [Int] = []
    var early: [Exit] = []
    func add(at sites: Site...) throws {
      for cost in sites.flatMap({ costs[$0] ?? [] }) {
        guard !cost.needsGrid || prompts == 0 else {
          throw GraftError.adapterDoesNotFit(
            adapter: adapter.name,
            reason: """
              what stands \(cost.site) reads neighbouring patches, and \(prompts) prompts stand among the tokens.
              """)
        }
        let before = side * side + prompts + 1
        side -= 2 * cost.border
        prompts += cost.prompts
        macs += isMerged ? 0 : cost.macs(before, side * side + prompts + 1)
      }
    }
    try add(at: .on(.patchEmbedding))
    for block in 0..<shape.depth {
      try add(at: .beforeBlock(block))
      let tokens = side * side + prompts + 1
      if counts.last != tokens { counts.append(tokens) }
      macs += shape.blockMACs(tokens: tokens)
      for operation in FrozenOperation.inBlock(block) { try add(at: .on(operation)) }
      try add(
        at: .beforeAttention(block: block), .afterAttention(block: block), .besideAttention(block: block),
        .aroundAttention(block: block), .beforeMLP(block: block), .afterMLP(block: block),
        .besideMLP(block: block), .aroundMLP(block: block), .afterBlock(block))
      if plan.exits.contains(where: { $0.blocks == block + 1 }) {
        early.append(Exit(blocks: block + 1, gmac: Double(macs) / 1e9))
      }
    }
    try add(at: .on(.norm))
    tokens = counts
    gmac = Double(macs) / 1e9
    exits = early + [Exit(blocks: shape.depth, gmac: gmac)]
  }
}
