/// timm's `config.json`: a name, and what the weights were trained with.
struct TimmConfiguration {
  /// The architecture with the tag of its weights.
  let name: String
  /// What its entries say, and then what the name does.
  private(set) var sayings: [BackboneOptions] = []
  private(set) var preprocessing: Preprocessing?
  private(set) var notes: [String] = []
  private let architecture: ViT?

  init(_ entries: [String: JSONValue]) {
    let base = entries["architecture"]?.stringValue ?? ""
    let trained = entries["pretrained_cfg"]?.objectValue ?? [:]
    let arguments = entries["model_args"]?.objectValue ?? [:]
    let tag = trained["tag"]?.stringValue ?? ""
    name = tag.isEmpty ? base : "\(base).\(tag)"
    let known = (try? BackboneCatalog.named(name)) ?? (try? BackboneCatalog.named(base))
    architecture = known as? ViT

    var own = BackboneOptions()
    own.origin = .configuration
    if let mean = trained["mean"], let std = trained["std"] {
      own.take(.normalization, .object(["mean": mean, "std": std]), &notes)
    }
    own.take(.heads, arguments["num_heads"], &notes)
    let pooling = arguments["global_pool"] ?? entries["global_pool"]
    if pooling != "" { own.take(.pooling, pooling, &notes) }
    own.trainedSize = Self.side(arguments["img_size"]) ?? Self.side(trained["input_size"])
    sayings = [own]
    if let known, let facts = try? BackboneOptions(facts: known, origin: .name) { sayings.append(facts) }
    preprocessing = Self.preprocessing(trained)
  }

  /// Whether the name is not that of a model of other sizes.
  func isOf(_ index: TensorIndex) -> Bool {
    guard let architecture else { return true }
    return index.patchWidth == architecture.width && index.depth == architecture.depth
  }

  /// The height in `224`, `[224, 224]` or `[3, 224, 224]`.
  private static func side(_ size: JSONValue?) -> Int? {
    size?.intValue ?? size?.arrayValue?.dropLast().last?.intValue
  }

  private static func preprocessing(_ trained: [String: JSONValue]) -> Preprocessing? {
    guard let fraction = trained["crop_pct"]?.doubleValue,
      let interpolation = trained["interpolation"]?.stringValue,
      ["bilinear", "bicubic"].contains(interpolation)
    else { return nil }
    let mode = trained["crop_mode"]?.stringValue ?? "center"
    guard mode == "center" || mode == "squash" else { return nil }
    return Preprocessing(
      keepsAspectRatio: mode == "center", cropFraction: fraction, isBilinear: interpolation == "bilinear")
  }
}
