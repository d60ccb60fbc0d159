/// Everything about a backbone but its weights: what an ``Architecture`` lists.
public struct BackboneShape: Sendable {
  /// The settings that it was made from.
  public let architecture: any Architecture
  /// Height and width of the input images, in pixels.
  public let imageSize: ImageSize
  /// What pixels are scaled by.
  public let normalization: Normalization
  /// What makes tokens of an image.
  public let stem: Stem
  /// The blocks, in the order in which they run.
  public let blocks: [Block]
  /// What makes a feature of tokens.
  public let end: End

  /// Number of blocks.
  public var depth: Int { blocks.count }

  /// Channels of the feature.
  public var featureWidth: Int { end.width }

  /// The layout that the first block receives.
  public var start: TokenLayout {
    TokenLayout(
      width: stem.embedding.outputs,
      grid: Grid(rows: imageSize.height / stem.patchSize, columns: imageSize.width / stem.patchSize),
      prefix: stem.prefix.reduce(0) { $0 + $1.shape[1] })
  }

  /// All operations that adapters can stand on, in the order in which they run.
  public var operations: [FrozenOperation] {
    stem.operations + blocks.flatMap(\.operations) + end.operations
  }

  /// All parts, in the order in which they run.
  public var parts: [Part] { blocks.flatMap(\.parts) }

  /// Tensors that belong to no operation: tokens, tables, layer scales.
  public var tables: [TensorSpec] { stem.tables + parts.flatMap(\.tables) }

  /// All tensors: what a checkpoint must hold.
  public var tensors: [TensorSpec] { operations.flatMap(\.tensors) + tables }

  /// Scalars of the backbone without a classification head.
  public var parameterCount: Int { tensors.reduce(0) { $0 + $1.parameters } }

  /// What adapters may need and find here.
  public var offers: Set<Need> {
    var needs: Set<Need> = [.attention, .grid, .freeTokenCount]
    if Set(parts.map(\.reads)).count == 1 { needs.insert(.oneWidth) }
    return needs
  }
}

extension BackboneShape: Hashable {
  /// Whether both come from the same settings.
  public static func == (first: Self, second: Self) -> Bool {
    AnyHashable(first.architecture) == AnyHashable(second.architecture)
  }

  /// Feeds the settings to a hasher.
  public func hash(into hasher: inout Hasher) { hasher.combine(AnyHashable(architecture)) }
}
