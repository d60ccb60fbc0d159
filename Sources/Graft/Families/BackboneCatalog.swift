public import SystemPackage

/// The architectures by timm's names.
public enum BackboneCatalog {
  /// The families.
  public static let families: [any Architecture.Type] = [ViT.self]
}

/// An architecture of timm's, with the weights that timm has for it.
public struct NamedArchitecture: Sendable {
  /// timm's name, without a tag.
  public let name: String
  /// Sizes and conventions; pixels are scaled as for the weights that timm takes by default.
  public let architecture: any Architecture
  /// Pre-trained weights by the tag that follows the name and a dot, with what their pixels are scaled by.
  public let tags: [String: Normalization]
}

extension BackboneCatalog {
  /// All architectures, family by family.
  public static let all: [NamedArchitecture] = NamedArchitecture.visionTransformers

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
    ("naflex", "its patches are as many as fit each picture (NaFlex)"),
    ("radio", "it has no norm at the end"),
    ("aimv2", "it has a norm behind its patches"),
    ("beit3", "its MLPs have norms of another kind"),
    ("enormous", "its norms stand behind the branches"),
    ("rope", "its rotary positions are of another kind"),
    ("dlittle", "its attention is the difference of two"),
    ("dwee", "its attention is the difference of two"),
    ("dpwee", "its attention is the difference of two"),
    ("test_vit", "it is one of timm's own tests"),
    ("sapiens", "its positions are turned into queries and keys (RoPE)"),
    ("_pe_", "its positions are turned into queries and keys (RoPE)"),
    ("relpos", "its positions are relative ones in the attention"),
    ("_rpn_", "its norms stand behind the branches"),
    ("_xp_", "its attention and MLP stand side by side"),
    ("pwee", "its attention and MLP stand side by side"),
    ("x2_", "its blocks have two attentions and two MLPs side by side"),
    ("_mci_", "a convolutional network makes its patches"),
    ("_r26_", "a convolutional network makes its patches"),
    ("_r50_", "a convolutional network makes its patches"),
    ("_r_s16_", "a convolutional network makes its patches"),
    ("_resnet", "a convolutional network makes its patches"),
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
  /// What a checkpoint's header shows; no weight is loaded.
  ///
  /// - Throws: `CheckpointError` when the file is damaged or of another kind of model.
  public static func read(_ path: FilePath, options: BackboneOptions = .init()) throws -> BackboneReading {
    try BackboneReading(CanonicalWeights(TensorFiles.open(path)), options: options)
  }

  /// What ``convert(_:to:)`` wrote.
  public struct Conversion: Sendable, Hashable {
    /// Whose names were read.
    public let dialect: String
    /// What the model is.
    public let architecture: String
    /// How many tensors were written.
    public let tensors: Int
  }

  /// Writes a backbone's weights, whatever their container and names, as safetensors in timm's names.
  ///
  /// Tensors that need no more than a name keep their bits and type; others are written as F32. What is known of them beside
  /// (see ``BackboneReading/origins``) is written as metadata, and believed when the file is read.
  ///
  /// - Throws: `CheckpointError` when the file is damaged, of another kind of model, or cannot be written.
  public static func convert(_ path: FilePath, to output: FilePath) throws -> Conversion {
    let weights = try CanonicalWeights(TensorFiles.open(path))
    // Names and shapes are the same for any number of heads, which a file may not tell.
    let reading =
      try (try? BackboneReading(weights, options: .init()))
      ?? BackboneReading(weights, options: .init(heads: 1))
    guard !AdapterFolder.owns(output), FileStamp(output) == nil || FileStamp(output) != FileStamp(path) else {
      throw GraftError.badOutput(folder: output, reason: "it is the file that is read. Give another name.")
    }
    let tensors = try weights.timm().filter { !$0.name.hasPrefix("head") }
    try Safetensors.write(
      tensors, metadata: ["format": "pt", RecordedFacts.key: RecordedFacts.text(reading)], to: output)
    return Conversion(
      dialect: reading.dialect, architecture: reading.architecture.name, tensors: tensors.count)
  }
}

extension BackboneShape {
  /// The shape that a checkpoint's header shows; no weight is loaded.
  ///
  /// - Throws: `CheckpointError` when the file is damaged or of another kind of model.
  public init(path: FilePath, options: BackboneOptions = .init()) throws {
    self = try BackboneCatalog.read(path, options: options).architecture.shape()
  }

  /// The shape behind a timm name; see ``BackboneCatalog/named(_:)``.
  ///
  /// - Throws: ``GraftError`` for a name that is not known, or a size that does not fit.
  public init(named name: String, imageSize: ImageSize? = nil) throws {
    let architecture = try BackboneCatalog.named(name)
    self = try (imageSize.map { try architecture.resized(to: $0) } ?? architecture).shape()
  }
}
