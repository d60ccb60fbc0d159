public import GraftOps

/// What a block does between two additions to the residual stream: `x + scale * last(body(norm(x)))`.
public struct Part: Sendable, Hashable {
  /// What tells a part from all others.
  public struct ID: Sendable, Hashable, CustomStringConvertible {
    /// The block, from 0 over the whole backbone.
    public let block: Int
    /// timm's name of the module: `attn`, `mlp`.
    public let name: String

    /// Creates an identifier.
    public init(block: Int, name: String) {
      self.block = block
      self.name = name
    }

    /// In messages, such as `the attention of block 3`.
    public var description: String { "the \(Part.titles[name] ?? name) of block \(block)" }
  }

  /// What happens between the norm and the last layer.
  public enum Body: Sendable, Hashable {
    /// Attention of all tokens to all.
    case attention(Attention)
    /// `f(x)` between the two layers, or `f(first half) * second half` where it is gated.
    case mlp(Activation, isGated: Bool)
  }

  /// What tells it from all others.
  public let id: ID
  /// The norm in front of it.
  public let norm: FrozenOperation?
  /// Its operations in the order in which they run, without that norm.
  public let operations: [FrozenOperation]
  /// What happens between them.
  public let body: Body
  /// A learned factor on each channel of what it adds.
  public let layerScale: TensorSpec?

  private static let titles = ["attn": "attention", "mlp": "MLP"]

  /// Channels that it reads.
  public var reads: Int { first.inputs }

  /// The operation that reads what stands before the part.
  public var first: FrozenOperation { operations[0] }

  /// The operation that gives what the part adds.
  public var last: FrozenOperation { operations[operations.count - 1] }

  /// The prefix of a method's tensors at this part, such as `blocks.3.alore_attn`.
  public func tensorName(_ method: String) -> String { "blocks.\(id.block).\(method)_\(id.name)" }

  /// The norm in front of the last operation, where there is one.
  var innerNorm: FrozenOperation? { operations.dropFirst().dropLast().first }

  /// The norm and the operations.
  var all: [FrozenOperation] { (norm.map { [$0] } ?? []) + operations }

  /// Tensors that belong to no operation.
  var tables: [TensorSpec] {
    var tables = layerScale.map { [$0] } ?? []
    if case .attention(let attention) = body { tables += attention.tables }
    return tables
  }

  /// Whether it is an MLP over the channels of each token.
  var isChannelMLP: Bool { if case .mlp = body { true } else { false } }

  /// Whether a token's result depends on that token alone.
  var isTokenwise: Bool {
    switch body {
    case .attention: false
    case .mlp: true
    }
  }

  /// Multiply-accumulates of an image: products, and of attention scores and weighted sums.
  func macs(of layout: TokenLayout) -> Int {
    let products = all.reduce(0) { $0 + $1.macs(of: layout) }
    return products + mixingMACs(of: layout)
  }

  /// Those that belong to no operation.
  func mixingMACs(of layout: TokenLayout) -> Int {
    guard case .attention = body else { return 0 }
    return 2 * layout.count * layout.count * last.inputs
  }
}
