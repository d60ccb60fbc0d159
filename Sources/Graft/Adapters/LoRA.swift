import GraftOps

/// Low-rank products beside frozen linear layers (arXiv 2106.09685).
///
///     y = W x + b + (alpha / r) B A x
///
/// A (r, inputs), B (outputs, r), dropout on what A reads. On the fused `qkv` with r = 8: 294,912 on ViT-B/16. As in the
/// official code (microsoft/LoRA), A starts Kaiming uniform with a = sqrt(5) and B at zero, without dropout. There
/// alpha starts at 1; here it starts at the default rank, as in the paper (section 4.1), so that the scale is 1.
///
/// A folder with a saved LoRA is one of the PEFT library's too, unless it has q, k or v alone, which are no modules of a
/// timm model; ``PEFTFolder`` reads theirs.
public struct LoRA: Adapter {
  /// A linear layer, or a third of the fused one.
  public enum Target: String, Codable, Sendable, CaseIterable {
    /// The queries' third of `qkv`.
    case q
    /// The keys' third of `qkv`.
    case k
    /// The values' third of `qkv`.
    case v
    /// The fused projection to queries, keys and values, as one.
    case qkv
    /// The projection behind the attention.
    case proj
    /// The first layer of the MLP.
    case fc1
    /// The second layer of the MLP.
    case fc2
    /// The projection of patches to tokens, of which there is one.
    case patchEmbedding = "patch_embed"

    /// What carries the product, in timm's names.
    func module(block: Int) -> String {
      switch self {
      case .q, .k, .v, .qkv, .proj: "blocks.\(block).attn.\(rawValue)"
      case .fc1, .fc2: "blocks.\(block).mlp.\(rawValue)"
      case .patchEmbedding: "\(FrozenOperation.patchEmbedding)"
      }
    }
  }

  /// `lora`.
  public var name: String { "lora" }
  /// Names of the settings.
  public var settingNames: [String] { ["rank", "alpha", "targets", "dropout"] }

  /// Rank, r.
  public var rank: Int
  /// The product is multiplied by this over the rank.
  public var alpha: Float
  /// What carries a product in every block.
  public var targets: [Target]
  /// Dropout on what A reads.
  public var dropout: BlockRate

  /// Creates settings; see the type's note on the defaults.
  public init(rank: Int = 8, alpha: Float = 8, targets: [Target] = [.qkv], dropout: BlockRate = 0) {
    self.rank = rank
    self.alpha = alpha
    self.targets = targets
    self.dropout = dropout
  }

  var scale: Float { alpha / Float(rank) }

  /// Declares the factors.
  ///
  /// - Throws: ``GraftError`` when a setting is out of range.
  public func plan(for shape: VisionTransformerShape) throws -> AdapterPlan {
    try check(shape)
    var plan = AdapterPlan()
    let rank = rank
    for place in places(shape) {
      let (inputs, outputs) = (place.inputs, place.outputs)
      // The patch embedding is a convolution for PyTorch, and so are its factors.
      let isConvolution = place.operation == .patchEmbedding
      let patch = shape.patchSize
      plan.declare(
        "\(place.name).lora_A.weight", [rank] + (isConvolution ? [3, patch, patch] : [inputs]),
        .uniform(bound: 1 / Float(inputs).squareRoot()))
      plan.declare(
        "\(place.name).lora_B.weight", [outputs, rank] + (isConvolution ? [1, 1] : []), .constant(0))
      plan.costs.append(
        .init(site: .on(place.operation)) { tokens, _ in
          place.operation.rows(tokens: tokens) * rank * (inputs + outputs)
        })
    }
    let settings = self
    plan.join = { tensors, sites in
      for place in settings.places(shape) {
        let module = LoRAModule(
          down: tensors["\(place.name).lora_A.weight"], up: tensors["\(place.name).lora_B.weight"],
          column: place.column, scale: settings.scale,
          dropout: settings.dropout(place.operation.block ?? 0, of: shape.depth))
        sites.join(module, on: place.operation)
      }
    }
    return plan
  }

  private func check(_ shape: VisionTransformerShape) throws {
    try SettingCheck.narrow(rank, "rank", in: shape)
    try dropout.requireProbability("dropout")
    try SettingCheck.finite(alpha, "alpha")
    let list = targets.map(\.rawValue).joined(separator: ", ")
    try SettingCheck.require(
      !targets.isEmpty && Set(targets).count == targets.count, "targets", "[\(list)]",
      "give at least one, and each once.")
    try SettingCheck.require(
      !targets.contains(.qkv) || Set(targets).isDisjoint(with: [.q, .k, .v]), "targets", "[\(list)]",
      "qkv is q, k and v together: name it or them.")
  }

  /// One product: where it stands, under which name, and which columns of the operation's output it changes.
  struct Place {
    let operation: FrozenOperation
    let name: String
    let column: Int
    let inputs, outputs: Int
  }

  func places(_ shape: VisionTransformerShape) -> [Place] {
    let inBlocks = targets.filter { $0 != .patchEmbedding }
    return (targets.contains(.patchEmbedding) ? [place(.patchEmbedding, 0, shape)] : [])
      + (0..<shape.depth).flatMap { block in inBlocks.map { place($0, block, shape) } }
  }

  private func place(_ target: Target, _ block: Int, _ shape: VisionTransformerShape) -> Place {
    let operation: FrozenOperation =
      switch target {
      case .q, .k, .v, .qkv: .qkv(block: block)
      case .proj: .projection(block: block)
      case .fc1: .fc1(block: block)
      case .fc2: .fc2(block: block)
      case .patchEmbedding: .patchEmbedding
      }
    let (inputs, outputs) = operation.width(shape)
    let third = [Target.q, .k, .v].firstIndex(of: target)
    return Place(
      operation: operation, name: target.module(block: block), column: (third ?? 0) * shape.width,
      inputs: inputs, outputs: third == nil ? outputs : shape.width)
  }
}

/// `y[:, column...] + scale * B A Dropout(x)`.
private struct LoRAModule: OperationModule {
  let down, up: Tensor
  let column: Int
  let scale, dropout: Float

  func callAsFunction(_ output: Tensor, reading input: Tensor, layerScale: Tensor?, on tape: Tape) throws
    -> Tensor
  {
    let read = try tape.dropout(input, probability: dropout)
    let product = try tape.linear(tape.linear(read, weight: down, bias: nil), weight: up, bias: nil)
    return try tape.addColumns(product, to: output, from: column, scale: scale, factor: layerScale)
  }
}

extension LoRA: PEFTAdapter {
  var peftEntries: [String: JSONValue]? { PEFTConfiguration.entries(for: self) }
}

extension LoRA: MergeableAdapter {
  /// `W' = W + (alpha / r) B A` in the target's rows.
  func merged(
    into shape: VisionTransformerShape, adapter: (String) throws -> [Float],
    backbone: (String) throws -> [Float]
  ) throws -> [String: [Float]] {
    var changed: [String: WeightSum] = [:]
    for place in places(shape) {
      let name = "\(place.operation).weight"
      var sum = try changed[name] ?? WeightSum(backbone(name), inputs: place.inputs)
      sum.add(
        Double(scale), try adapter("\(place.name).lora_B.weight").map(Double.init),
        times: try adapter("\(place.name).lora_A.weight").map(Double.init), rank: rank, row: place.column,
        column: 0)
      changed[name] = sum
    }
    return changed.mapValues(\.values)
  }
}
