/// A place on a backbone where an adapter can join.
public enum Site: Hashable, Sendable, CustomStringConvertible {
  /// On the token sequence that a block receives, in sequence: prompts join here.
  case beforeBlock(Int)
  /// Between a block's first norm and its attention: what stands here is applied in sequence.
  case beforeAttention(block: Int)
  /// Between a block's second norm and its MLP, in sequence.
  case beforeMLP(block: Int)
  /// Beside a block's attention: reads what attention reads (the normalised tokens), adds to the residual stream.
  case besideAttention(block: Int)
  /// Beside a block's MLP: reads what the MLP reads (the normalised tokens), adds to the residual stream.
  case besideMLP(block: Int)
  /// Around a block's attention with its norm: reads the residual stream before the norm, adds to it after.
  case aroundAttention(block: Int)
  /// Around a block's MLP with its norm: reads the residual stream before the norm, adds to it after.
  case aroundMLP(block: Int)
  /// On what a block's attention adds to the residual stream, in sequence, before it is added.
  case afterAttention(block: Int)
  /// On what a block's MLP adds to the residual stream, in sequence, before it is added.
  case afterMLP(block: Int)
  /// After a block, in sequence; the token grid may shrink here.
  case afterBlock(Int)
  /// On one frozen operation: reads its input, changes its output; any number can stand there.
  case on(FrozenOperation)

  /// Whether a site carries one module only: those in sequence.
  var isExclusive: Bool {
    switch self {
    case .beforeBlock, .beforeAttention, .beforeMLP, .afterAttention, .afterMLP, .afterBlock: true
    case .besideAttention, .besideMLP, .aroundAttention, .aroundMLP, .on: false
    }
  }

  /// Whole blocks that nothing at this site can change.
  func blocksBelow(depth: Int) -> Int {
    switch self {
    case .beforeBlock(let block), .beforeAttention(let block), .beforeMLP(let block),
      .besideAttention(let block), .besideMLP(let block), .aroundAttention(let block), .aroundMLP(let block),
      .afterAttention(let block), .afterMLP(let block):
      block
    case .afterBlock(let block): block + 1
    case .on(.patchEmbedding): 0
    case .on(let operation): operation.block ?? depth
    }
  }

  /// The site's name in messages.
  public var description: String {
    switch self {
    case .beforeBlock(let block): "before block \(block)"
    case .beforeAttention(let block): "before the attention of block \(block)"
    case .beforeMLP(let block): "before the MLP of block \(block)"
    case .besideAttention(let block): "beside the attention of block \(block)"
    case .besideMLP(let block): "beside the MLP of block \(block)"
    case .aroundAttention(let block): "around the attention of block \(block)"
    case .aroundMLP(let block): "around the MLP of block \(block)"
    case .afterAttention(let block): "after the attention of block \(block)"
    case .afterMLP(let block): "after the MLP of block \(block)"
    case .afterBlock(let block): "after block \(block)"
    case .on(let operation): "on \(operation)"
    }
  }
}

/// One operation of a frozen backbone, by the name that timm gives its tensors.
public enum FrozenOperation: Hashable, Sendable, CustomStringConvertible {
  /// The projection of patches to tokens.
  case patchEmbedding
  /// The norm before a block's attention.
  case norm1(block: Int)
  /// A block's projection to queries, keys and values, D to 3D.
  case qkv(block: Int)
  /// A block's projection behind the attention, D to D, before layer scale.
  case projection(block: Int)
  /// The norm before a block's MLP.
  case norm2(block: Int)
  /// The first layer of a block's MLP, before its activation.
  case fc1(block: Int)
  /// The second layer of a block's MLP, before layer scale.
  case fc2(block: Int)
  /// The norm behind the last block.
  case norm

  /// timm's name: the operation's tensors are this and `.weight` or `.bias`.
  public var description: String {
    switch self {
    case .patchEmbedding: "patch_embed.proj"
    case .norm1(let block): "blocks.\(block).norm1"
    case .qkv(let block): "blocks.\(block).attn.qkv"
    case .projection(let block): "blocks.\(block).attn.proj"
    case .norm2(let block): "blocks.\(block).norm2"
    case .fc1(let block): "blocks.\(block).mlp.fc1"
    case .fc2(let block): "blocks.\(block).mlp.fc2"
    case .norm: "norm"
    }
  }

  /// The block that it belongs to, from 0; `nil` for those before and behind all blocks.
  var block: Int? {
    switch self {
    case .norm1(let block), .qkv(let block), .projection(let block), .norm2(let block), .fc1(let block),
      .fc2(let block):
      block
    case .patchEmbedding, .norm: nil
    }
  }

  /// All operations of one block, in the order in which they run.
  static func inBlock(_ block: Int) -> [FrozenOperation] {
    [
      .norm1(block: block), .qkv(block: block), .projection(block: block), .norm2(block: block),
      .fc1(block: block), .fc2(block: block),
    ]
  }

  /// All operations of a backbone, in the order in which they run.
  static func all(depth: Int) -> [FrozenOperation] {
    [.patchEmbedding] + (0..<depth).flatMap(inBlock) + [.norm]
  }

  /// Rows that the operation computes, an image: the patch embedding sees no class token, the last norm it alone.
  func rows(tokens: Int) -> Int {
    switch self {
    case .patchEmbedding: tokens - 1
    case .norm: 1
    default: tokens
    }
  }

  /// Channels that go in and come out.
  func width(_ shape: VisionTransformerShape) -> (inputs: Int, outputs: Int) {
    let d = shape.width
    return switch self {
    case .patchEmbedding: (3 * shape.patchSize * shape.patchSize, d)
    case .qkv: (d, 3 * d)
    case .fc1: (d, shape.hiddenWidth)
    case .fc2: (shape.hiddenWidth, d)
    case .norm1, .projection, .norm2, .norm: (d, d)
    }
  }
}
