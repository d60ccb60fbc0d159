public import GraftOps

/// What makes a feature of the tokens that leave the last block: a norm and a pooling, in either order.
public struct End: Sendable, Hashable {
  /// How tokens become one row.
  public enum Pooling: String, Codable, Sendable, Hashable, CaseIterable {
    /// The class token is read.
    case token
    /// The mean of the cells.
    case mean = "avg"
    /// The mean of class and distillation token (DeiT).
    case frontMean = "distilled"
    /// A learned query attends to all cells (SigLIP).
    case attention = "map"
  }

  /// The norm.
  public let norm: FrozenOperation
  /// How tokens become one row.
  public let pooling: Pooling
  /// Whether the norm stands behind the pooling.
  public let poolsFirst: Bool
  /// Class and distillation tokens.
  public let front: Int
  /// The learned query with what belongs to it.
  public let pool: AttentionPool?

  /// Operations that adapters can stand on; the pool's are none, it is frozen as a whole.
  var operations: [FrozenOperation] { [norm] }
  /// Tensors of the pool.
  var tables: [TensorSpec] { pool?.tensors ?? [] }

  /// Channels of the feature.
  public var width: Int { norm.outputs }

  /// How many of the first tokens are read; `nil` where all are.
  var keptTokens: Int? {
    switch pooling {
    case .token: 1
    case .frontMean: front
    case .mean, .attention: nil
    }
  }

  /// Multiply-accumulates of an image.
  func macs(of layout: TokenLayout) -> Int {
    operations.reduce(0) { $0 + $1.macs(of: layout) } + (pool?.macs(of: layout) ?? 0)
  }
}

/// A learned query that attends to all cells, with a network behind it.
///
///     y = proj(attention(q(latent), kv(x)));   feature = y + fc2(f(fc1(LN(y))))
///
/// Source: SigLIP (arXiv 2303.15343), timm's names.
public struct AttentionPool: Sendable, Hashable {
  /// Number of heads.
  public let heads: Int
  /// What stands between the network's two layers.
  public let activation: Activation
  /// The query before its projection, (1, 1, D).
  public let latent: TensorSpec
  /// The query's projection.
  public let query: FrozenOperation
  /// Keys and values, in this order.
  public let keysValues: FrozenOperation
  /// Mixes the heads.
  public let projection: FrozenOperation
  /// The norm before the network.
  public let norm: FrozenOperation
  /// The network's two layers.
  public let fc1, fc2: FrozenOperation

  init(width: Int, heads: Int, hiddenWidth: Int, activation: Activation, epsilon: Float) {
    self.heads = heads
    self.activation = activation
    latent = TensorSpec("attn_pool.latent", [1, 1, width])
    func layer(
      _ name: String, _ role: FrozenOperation.Role, _ inputs: Int, _ outputs: Int,
      _ rows: FrozenOperation.Rows = .pooled(1)
    ) -> FrozenOperation {
      FrozenOperation("attn_pool.\(name)", in: .end, role, inputs: inputs, outputs: outputs, rows: rows)
    }
    query = layer("q", .qkv, width, width)
    keysValues = layer("kv", .qkv, width, 2 * width, .cells)
    projection = layer("proj", .proj, width, width)
    norm = .norm("attn_pool.norm", in: .end, width: width, epsilon: epsilon, rows: .pooled(1))
    fc1 = layer("mlp.fc1", .fc1, width, hiddenWidth)
    fc2 = layer("mlp.fc2", .fc2, hiddenWidth, width)
  }

  var operations: [FrozenOperation] { [query, keysValues, projection, norm, fc1, fc2] }
  var tensors: [TensorSpec] { [latent] + operations.flatMap(\.tensors) }

  /// Multiply-accumulates of an image.
  func macs(of layout: TokenLayout) -> Int {
    operations.reduce(0) { $0 + $1.macs(of: layout) } + 2 * layout.grid.count * query.inputs
  }
}
