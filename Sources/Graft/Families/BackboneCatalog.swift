public import SystemPackage

/// The architectures by timm's names.
public enum BackboneCatalog {
  /// The families.
  public static let families: [any Architecture.Type] = [ViT.self]
}

/// An architecture of timm's, with the weights that timm has for it.
///
/// Plain Vision Transformers: one class token, which is read at the end; a LayerNorm before each branch and at the end;
/// `qkv` with a bias; an MLP with the exact GELU; perhaps a layer scale. What differs in anything is not in the list,
/// however alike its name. `tools/fixtures/architectures.py` finds the list in timm itself, and a test compares.
public struct NamedArchitecture: Sendable {
  /// timm's name, without a tag.
  public let name: String
  /// Sizes and conventions; pixels are scaled as for the weights that timm takes by default.
  public let architecture: any Architecture
  /// Pre-trained weights by the tag that follows the name and a dot, with what their pixels are scaled by.
  public let tags: [String: Normalization]

  /// All of them, in the order of their sizes.
  fileprivate static let plain: [NamedArchitecture] = [
    .init("vit_tiny_patch16_224", 16, 224, .tiny, half: "augreg_in21k augreg_in21k_ft_in1k"),
    .init("vit_tiny_patch16_384", 16, 384, .tiny, half: "augreg_in21k_ft_in1k"),
    .init("vit_small_patch32_224", 32, 224, .small, half: "augreg_in21k augreg_in21k_ft_in1k"),
    .init("vit_small_patch32_384", 32, 384, .small, half: "augreg_in21k_ft_in1k"),
    .init(
      "vit_small_patch16_224", 16, 224, .small, half: "augreg_in1k augreg_in21k augreg_in21k_ft_in1k",
      imageNet: "dino"),
    .init("vit_small_patch16_384", 16, 384, .small, half: "augreg_in1k augreg_in21k_ft_in1k"),
    .init("vit_small_patch16_36x1_224", 16, 224, .deepSmall),
    .init("vit_small_patch14_dinov2", 14, 518, .small.scaled, .imageNet, imageNet: "lvd142m"),
    .init("vit_small_patch8_224", 8, 224, .small, .imageNet, imageNet: "dino"),
    .init(
      "vit_base_patch32_224", 32, 224, .base,
      half: "augreg_in1k augreg_in21k augreg_in21k_ft_in1k orig_in21k sam_in1k"),
    .init("vit_base_patch32_384", 32, 384, .base, half: "augreg_in1k augreg_in21k_ft_in1k"),
    .init(
      "vit_base_patch16_224", 16, 224, .base,
      half: """
        augreg2_in21k_ft_in1k augreg_in1k augreg_in21k augreg_in21k_ft_in1k orig_in21k orig_in21k_ft_in1k sam_in1k
        """, imageNet: "dino mae", clip: "bamboo"),
    .init(
      "vit_base_patch16_384", 16, 384, .base, half: "augreg_in1k augreg_in21k_ft_in1k orig_in21k_ft_in1k"),
    .init("vit_base_patch14_dinov2", 14, 518, .base.scaled, .imageNet, imageNet: "lvd142m"),
    .init(
      "vit_base_patch8_224", 8, 224, .base, half: "augreg2_in21k_ft_in1k augreg_in21k augreg_in21k_ft_in1k",
      imageNet: "dino"),
    .init("vit_base_patch32_plus_256", 32, 256, .basePlus),
    .init("vit_base_patch16_plus_240", 16, 240, .basePlus),
    .init("vit_large_patch32_224", 32, 224, .large, half: "orig_in21k"),
    .init("vit_large_patch32_384", 32, 384, .large, half: "orig_in21k_ft_in1k"),
    .init(
      "vit_large_patch16_224", 16, 224, .large, half: "augreg_in21k augreg_in21k_ft_in1k orig_in21k",
      imageNet: "mae"),
    .init("vit_large_patch16_384", 16, 384, .large, half: "augreg_in21k_ft_in1k"),
    .init("vit_large_patch14_224", 14, 224, .large),
    .init("vit_large_patch14_dinov2", 14, 518, .large.scaled, .imageNet, imageNet: "lvd142m"),
    .init("vit_huge_patch14_224", 14, 224, .huge, half: "orig_in21k", imageNet: "mae"),
    .init("vit_giant_patch14_224", 14, 224, .giant),
    .init("vit_gigantic_patch14_224", 14, 224, .gigantic),
    .init("deit_tiny_patch16_224", 16, 224, .tiny, .imageNet, imageNet: "fb_in1k"),
    .init("deit_small_patch16_224", 16, 224, .small, .imageNet, imageNet: "fb_in1k"),
    .init("deit_base_patch16_224", 16, 224, .base, .imageNet, imageNet: "fb_in1k"),
    .init("deit_base_patch16_384", 16, 384, .base, .imageNet, imageNet: "fb_in1k"),
  ]

  /// What the blocks of an architecture are.
  private struct Blocks {
    var width: Int
    var depth: Int
    var heads: Int
    var hidden: Int
    var hasLayerScale = false

    static let tiny = Blocks(width: 192, depth: 12, heads: 3, hidden: 768)
    static let small = Blocks(width: 384, depth: 12, heads: 6, hidden: 1536)
    static let deepSmall = Blocks(width: 384, depth: 36, heads: 6, hidden: 1536, hasLayerScale: true)
    static let base = Blocks(width: 768, depth: 12, heads: 12, hidden: 3072)
    static let basePlus = Blocks(width: 896, depth: 12, heads: 14, hidden: 3584, hasLayerScale: true)
    static let large = Blocks(width: 1024, depth: 24, heads: 16, hidden: 4096)
    static let huge = Blocks(width: 1280, depth: 32, heads: 16, hidden: 5120)
    static let giant = Blocks(width: 1408, depth: 40, heads: 16, hidden: 6144)
    static let gigantic = Blocks(width: 1664, depth: 48, heads: 16, hidden: 8192)

    /// The same with a layer scale, as DINOv2 has it.
    var scaled: Blocks {
      var copy = self
      copy.hasLayerScale = true
      return copy
    }
  }

  /// A row of the list; tags are separated by spaces, by what their pixels are scaled by.
  private init(
    _ name: String, _ patch: Int, _ imageSize: ImageSize, _ blocks: Blocks,
    _ normalization: Normalization = .half,
    half: String = "", imageNet: String = "", clip: String = ""
  ) {
    self.name = name
    architecture = ViT(
      imageSize: imageSize, patchSize: patch, width: blocks.width, depth: blocks.depth, heads: blocks.heads,
      hiddenWidth: blocks.hidden, hasLayerScale: blocks.hasLayerScale, normalization: normalization)
    var tags: [String: Normalization] = [:]
    for (names, normalization) in [
      (half, Normalization.half), (imageNet, .imageNet), (clip, .clip),
    ] {
      for tag in names.split(separator: " ") { tags[String(tag)] = normalization }
    }
    self.tags = tags
  }
}

extension BackboneCatalog {
  /// All architectures, in the order of their sizes.
  public static let all: [NamedArchitecture] = NamedArchitecture.plain

  /// The architecture behind a timm name such as `vit_base_patch16_224`, perhaps with the tag of its weights:
  /// `vit_base_patch16_224.mae`.
  ///
  /// - Throws: ``GraftError/unknownArchitecture(_:nearest:meaning:)``, ``GraftError/unknownWeights(_:of:known:)``.
  public static func named(_ name: String) throws -> any Architecture {
    let parts = name.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    let base = String(parts[0])
    guard let entry = all.first(where: { $0.name == base }) else {
      throw GraftError.unknownArchitecture(
        name, nearest: nearest(to: base, in: all.map(\.name), within: base.count / 3), meaning: whyNot(base))
    }
    guard parts.count == 2 else { return entry.architecture }
    let tag = String(parts[1])
    guard let normalization = entry.tags[tag] else {
      throw GraftError.unknownWeights(tag, of: base, known: entry.tags.keys.sorted())
    }
    return try entry.architecture.replacing(by: BackboneOptions(normalization: normalization))
  }

  /// What a part of a name says of a model that Graft does not compute.
  ///
  /// The first that fits is said; it helps to understand a refusal and refuses nothing.
  private static let others: [(part: String, meaning: String)] = [
    ("distilled", "it has a distillation token"),
    ("deit3", "its position embedding leaves out the class token"),
    ("flexivit", "its position embedding leaves out the class token"),
    ("dinov3", "its positions are turned into queries and keys (RoPE)"),
    ("sapiens", "its positions are turned into queries and keys (RoPE)"),
    ("lingbot", "its positions are turned into queries and keys (RoPE)"),
    ("_pe_", "its positions are turned into queries and keys (RoPE)"),
    ("rope", "its positions are turned into queries and keys (RoPE)"),
    ("eva", "its positions are turned into queries and keys (RoPE), or its tokens are averaged at the end"),
    ("relpos", "its positions are relative ones in the attention"),
    ("beit", "its positions are relative ones in the attention, or its tokens are averaged at the end"),
    ("_rpn_", "its norms stand behind the branches"),
    ("siglip", "it has no class token"),
    ("aimv2", "it has no class token"),
    ("_gap_", "it has no class token"),
    ("_map_", "it has no class token"),
    ("clip", "it has a norm before the first block"),
    ("radio", "it has register tokens and no norm at the end"),
    ("_reg", "it has register tokens"),
    ("_xp_", "its attention and MLP stand side by side"),
    ("pwee", "its attention and MLP stand side by side"),
    ("x2_", "its blocks have two attentions and two MLPs side by side"),
    ("_mci_", "a convolutional network makes its patches"),
    ("_r26_", "a convolutional network makes its patches"),
    ("_r50_", "a convolutional network makes its patches"),
    ("_r_s16_", "a convolutional network makes its patches"),
    ("_resnet", "a convolutional network makes its patches"),
    ("miil", "its attention has no biases"),
    ("giant_patch14_dinov2", "its MLPs are gated (SwiGLU)"),
    ("intern300m", "it has no norm at the end"),
    ("samvit", "it has no class token"),
    ("swin", "it is no plain Vision Transformer"),
    ("convnext", "it is no Vision Transformer"),
    ("mixer", "it is no Vision Transformer"),
    ("resnet", "it is no Vision Transformer"),
    ("cait", "it is no plain Vision Transformer"),
  ]

  /// What is known of an architecture that is not in ``all``, by its name.
  static func whyNot(_ name: String) -> String? {
    others.first { name.lowercased().contains($0.part) }?.meaning
  }
}

extension BackboneCatalog {
  /// The architecture that a checkpoint's header shows; no weight is loaded.
  ///
  /// - Throws: `CheckpointError` when the file is damaged or of another kind of model.
  public static func read(_ path: FilePath, options: BackboneOptions = .init()) throws -> any Architecture {
    try ViT(reading: SafetensorsFile(path: path), options: options)
  }
}

extension BackboneShape {
  /// The shape that a checkpoint's header shows; no weight is loaded.
  ///
  /// - Throws: `CheckpointError` when the file is damaged or of another kind of model.
  public init(path: FilePath, options: BackboneOptions = .init()) throws {
    self = try BackboneCatalog.read(path, options: options).shape()
  }

  /// The shape behind a timm name; see ``BackboneCatalog/named(_:)``.
  ///
  /// - Throws: ``GraftError`` for a name that is not known, or a size that does not fit.
  public init(named name: String, imageSize: ImageSize? = nil) throws {
    let architecture = try BackboneCatalog.named(name)
    self = try (imageSize.map { try architecture.resized(to: $0) } ?? architecture).shape()
  }
}
