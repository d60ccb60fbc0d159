import GraftOps

/// Low-rank products beside frozen linear layers (arXiv 2106.09685).
///
///     y = W x + b + (alpha / r) B A x
///
/// A (r, inputs), B (outputs, r), dropout on what A reads. On the fused `qkv` with r = 8: 294,912 on ViT-B/16. As in the
/// official code (microsoft/LoRA), A starts Kaiming uniform with a = sqrt(5) and B at zero, without dropout. There
/// alpha starts at 1; here it starts at the default rank, as in the paper (section 4.1), so that the scale is 1.
///
/// A folder with a saved LoRA is one of the PEFT library's too: for transformers' model where the backbone's weights have its
/// names and q, k and v, which are its layers, are named one by one; else for timm's, whose layer is qkv, unless q, k or v
/// are named alone. ``PEFTFolder`` reads theirs.
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

    /// Which third of a fused projection it is.
    var third: Int? { [Target.q, .k, .v].firstIndex(of: self) }

    /// What it stands on.
    var role: FrozenOperation.Role {
      switch self {
      case .q, .k, .v, .qkv: .qkv
      case .proj: .proj
      case .fc1: .fc1
      case .fc2: .fc2
      case .patchEmbedding: .embedding
      }
    }

    /// What carries the product, such as `blocks.3.attn.q`.
    func module(_ operation: FrozenOperation.ID) -> String {
      guard third != nil else { return operation.name }
      return operation.name.split(separator: ".").dropLast().joined(separator: ".") + ".\(rawValue)"
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
  public func plan(for shape: BackboneShape) throws -> AdapterPlan {
    try check(shape)
    var plan = AdapterPlan()
    let (rank, scale) = (rank, scale)
    for place in places(shape) {
      let (operation, inputs, outputs) = (place.operation, place.operation.inputs, place.outputs)
      let (down, up) = ("\(place.name).lora_A.weight", "\(place.name).lora_B.weight")
      // The patch embedding is a convolution for PyTorch, and so are its factors.
      let kernel = operation.tensors[0].shape.dropFirst(2)
      plan.declare(
        down, [rank] + operation.tensors[0].shape.dropFirst(), .uniform(bound: 1 / Float(inputs).squareRoot())
      )
      plan.declare(up, [outputs, rank] + kernel.map { _ in 1 }, .constant(0))
      let dropout = dropout(operation.id.block ?? 0, of: shape.depth)
      plan.join(
        .on(operation.id), macs: { tokens, _ in operation.rows(of: tokens) * rank * (inputs + outputs) },
        // W' = W + (alpha / r) B A in the target's rows.
        folds: [
          Fold(into: operation) { layer, trained in
            try layer.add(
              Double(scale), trained(up), times: trained(down), rank: rank, row: place.column)
          }
        ]
      ) {
        LoRAModule(down: $0[down], up: $0[up], column: place.column, scale: scale, dropout: dropout)
      }
    }
    return plan
  }

  private func check(_ shape: BackboneShape) throws {
    try SettingCheck.narrow(rank, "rank", in: shape.parts)
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
    let column, outputs: Int
  }

  func places(_ shape: BackboneShape) -> [Place] {
    let operations = Dictionary(grouping: shape.operations) { $0.id.home }
    func inHome(_ home: FrozenOperation.Home) -> [Place] {
      targets.flatMap { target in
        (operations[home] ?? []).filter { $0.role == target.role }.map { operation in
          let outputs = target.third == nil ? operation.outputs : operation.outputs / 3
          return Place(
            operation: operation, name: target.module(operation.id), column: (target.third ?? 0) * outputs,
            outputs: outputs)
        }
      }
    }
    return inHome(.stem) + shape.blocks.flatMap { inHome(.block($0.index)) }
  }
}

/// `y[:, column...] + scale * B A Dropout(x)`.
private struct LoRAModule: OperationModule {
  let down, up: Tensor
  let column: Int
  let scale, dropout: Float

  func callAsFunction(_ output: Tensor, reading input: LinearInput, on tape: Tape) throws -> Tensor {
    let drops = tape.isTraining && dropout > 0
    let read = drops ? .rows(try tape.dropout(input.tensor(), probability: dropout)) : input
    let product = try tape.linear(tape.linear(read, weight: down, bias: nil), weight: up, bias: nil)
    return try tape.addColumns(product, to: output, from: column, scale: scale)
  }
}

extension LoRA: PEFTAdapter {
  func peftNames(on backbone: Backbone) -> PEFTNaming? {
    backbone.weights.flatMap { PEFTNaming(transformers: self, places: places(backbone.shape), of: $0) }
      ?? PEFTNaming(timm: self)
  }
}
