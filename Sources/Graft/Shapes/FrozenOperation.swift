/// One frozen operation with weights, under its canonical (timm's) name: the only place where that name is written.
///
/// What a file must hold, what a model costs and where adapters can join are sums and filters over a backbone's
/// operations.
public struct FrozenOperation: Sendable, Hashable {
  /// Where an operation stands.
  public enum Home: Sendable, Hashable {
    /// Before the first block.
    case stem
    /// In a block, counted from 0 over the whole backbone.
    case block(Int)
    /// Behind the last block.
    case end
  }

  /// What tells an operation from all others.
  public struct ID: Sendable, Hashable, CustomStringConvertible {
    /// timm's name: the operation's tensors are this and `.weight` or `.bias`.
    public let name: String
    /// Where it stands.
    public let home: Home

    /// The name.
    public var description: String { name }

    /// The block, from 0; `nil` before and behind all blocks.
    public var block: Int? { if case .block(let index) = home { index } else { nil } }
  }

  /// What an operation computes.
  public enum Kind: Sendable, Hashable {
    /// A product on the channels of each row.
    case linear
    /// A convolution that does not overlap, with a kernel as large as its stride: a product on flattened patches.
    case patches(side: Int)
    /// Layer normalisation.
    case norm(epsilon: Float)
  }

  /// What part an operation plays, whatever the family calls it.
  public enum Role: String, Sendable, Hashable {
    /// Makes tokens of pixels.
    case embedding
    /// Normalises.
    case norm
    /// Makes queries, keys and values, in this order.
    case qkv
    /// Mixes the heads behind the attention.
    case proj
    /// The first layer of a channel MLP; of a gated one gate and value under one another.
    case fc1
    /// The second layer of a channel MLP.
    case fc2
  }

  /// What an operation computes a row of its result for.
  public enum Rows: Sendable, Hashable {
    /// Each cell of the grid.
    case cells
    /// Each token.
    case tokens
    /// So many rows an image.
    case pooled(Int)
  }

  /// Whether a file has a bias for an operation.
  public enum Bias: String, Codable, Sendable, Hashable {
    /// Yes.
    case stored
    /// No.
    case absent
    /// Queries and values have one, and keys none: theirs is zero.
    case partial
  }

  /// What tells it from all others.
  public let id: ID
  /// Its part.
  public let role: Role
  /// What it computes.
  public let kind: Kind
  /// Channels that go in; of patches all their pixels' channels.
  public let inputs: Int
  /// Channels that come out.
  public let outputs: Int
  /// Whether there is a bias.
  public let bias: Bias
  /// What it computes a row for.
  public let rows: Rows

  init(
    _ name: String, in home: Home, _ role: Role, _ kind: Kind = .linear, inputs: Int, outputs: Int,
    bias: Bias = .stored, rows: Rows = .tokens
  ) {
    id = ID(name: name, home: home)
    self.role = role
    self.kind = kind
    self.inputs = inputs
    self.outputs = outputs
    self.bias = bias
    self.rows = rows
  }

  /// A layer normalisation.
  static func norm(
    _ name: String, in home: Home, width: Int, epsilon: Float, rows: Rows = .tokens
  ) -> FrozenOperation {
    FrozenOperation(
      name, in: home, .norm, .norm(epsilon: epsilon), inputs: width, outputs: width, rows: rows)
  }

  /// Rows of an image that it computes.
  public func rows(of layout: TokenLayout) -> Int {
    switch rows {
    case .cells: layout.grid.count
    case .tokens: layout.count
    case .pooled(let count): count
    }
  }

  /// Multiply-accumulates of an image; norms count nothing, as in the literature.
  public func macs(of layout: TokenLayout) -> Int {
    if case .norm = kind { 0 } else { rows(of: layout) * inputs * outputs }
  }

  /// The weight's name.
  var weightName: String { "\(id).weight" }
  /// The bias's name.
  var biasName: String { "\(id).bias" }

  /// Its tensors in a file, weight first.
  public var tensors: [TensorSpec] {
    let weight =
      switch kind {
      case .linear: TensorSpec(weightName, [outputs, inputs])
      case .patches(let side): TensorSpec(weightName, [outputs, inputs / (side * side), side, side])
      case .norm: TensorSpec(weightName, [outputs], .scale)
      }
    return switch bias {
    case .stored: [weight, TensorSpec(biasName, [outputs], .bias)]
    case .partial: [weight, TensorSpec(biasName, [outputs], .bias, parameters: outputs / 3 * 2)]
    case .absent: [weight]
    }
  }
}

extension FrozenOperation: CustomStringConvertible {
  /// timm's name.
  public var description: String { id.name }
}
