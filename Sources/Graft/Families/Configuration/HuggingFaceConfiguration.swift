/// transformers' `config.json`, of a vision model or of one that has another tower for text.
struct HuggingFaceConfiguration {
  /// The kind of model, and its width.
  let name: String
  private(set) var options = BackboneOptions()
  private(set) var notes: [String] = []
  private let kind: String?
  private let width: Int?
  private let depth: Int?

  init(_ entries: [String: JSONValue]) {
    let own = Self.visionTower(entries)
    kind = own["model_type"]?.stringValue
    width = own["hidden_size"]?.intValue
    depth = own["num_hidden_layers"]?.intValue
    name = [kind ?? "a model of transformers", width.map { "width \($0)" }].compactMap(\.self).joined(
      separator: ", ")
    options.origin = .configuration
    options.take(.heads, own["num_attention_heads"], &notes)
    options.take(.epsilon, own["layer_norm_eps"], &notes)
    // Where there is a gate, the entry is not looked at: it is SiLU.
    if own["use_swiglu_ffn"]?.boolValue != true, let activation = own["hidden_act"]?.stringValue {
      options.take(.activation, .string(Self.activations[activation] ?? activation), &notes)
    }
    options.take(
      .rotationBase, own["rope_theta"] ?? own["rope_parameters"]?.objectValue?["rope_theta"], &notes)
    if kind == "beit", let takesMean = own["use_mean_pooling"]?.boolValue {
      options.pooling = takesMean ? .mean : .token
    }
    options.trainedSize = own["image_size"]?.intValue
  }

  /// Whether no size contradicts the weights'.
  func isOf(_ index: TensorIndex) -> Bool {
    kind.map(Self.kinds.contains) ?? true && width == index.patchWidth && depth == index.depth
  }

  /// The vision model's entries.
  ///
  /// Within another model's file entries that are the class's own defaults are left out.
  private static func visionTower(_ entries: [String: JSONValue]) -> [String: JSONValue] {
    guard let tower = entries["vision_config"]?.objectValue else { return entries }
    let kind = tower["model_type"]?.stringValue ?? "\(entries["model_type"]?.stringValue ?? "")_vision_model"
    return (defaults[kind] ?? [:]).merging(tower) { $1 }.merging(["model_type": .string(kind)]) { $1 }
  }

  /// The models of transformers' whose weights Graft reads.
  private static let kinds: Set = [
    "vit", "vit_mae", "deit", "beit", "dinov2", "dinov2_with_registers", "dinov3_vit", "clip_vision_model",
    "siglip_vision_model",
  ]

  /// transformers 4.57 and 5.24 have the same.
  private static let defaults: [String: [String: JSONValue]] = [
    "clip_vision_model": [
      "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 224,
      "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
    ],
    "siglip_vision_model": [
      "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 224,
      "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6,
    ],
  ]

  /// Names of transformers' that are not Graft's.
  private static let activations = [
    "gelu_pytorch_tanh": "gelu_tanh", "gelu_new": "gelu_tanh", "swish": "silu", "gelu_python": "gelu",
  ]
}
