import GraftSystem

/// An adapter whose folder the PEFT library can read.
protocol PEFTAdapter: Adapter {
  /// PEFT's names on a backbone; `nil` where the settings are none that it has, or a place is no module there.
  func peftNames(on backbone: Backbone) -> PEFTNaming?
}

/// The entries of the PEFT library's `adapter_config.json` that describe a LoRA adapter.
enum PEFTConfiguration {
  /// What PEFT puts before the name of each module of the model that it wraps.
  static let tensorPrefix = "base_model.model."

  /// Entries by which PEFT reads an adapter on these modules; `nil` where the dropout differs from block to block.
  static func entries(for adapter: LoRA, modules: [String], head: String) -> [String: JSONValue]? {
    guard adapter.dropout.first == adapter.dropout.last else { return nil }
    return [
      "r": .integer(adapter.rank), "lora_alpha": .number(Double(adapter.alpha)),
      "lora_dropout": .number(Double(adapter.dropout.first)),
      "target_modules": .array(modules.map { .string($0) }),
      "modules_to_save": [.string(head)], "bias": "none", "fan_in_fan_out": false, "use_rslora": false,
      "use_dora": false, "init_lora_weights": true, "inference_mode": true, "task_type": .null,
      "base_model_name_or_path": .null,
    ]
  }

  /// The adapter that a folder's entries describe; its tensors show on which targets.
  ///
  /// - Throws: ``CheckpointError/malformedManifest(path:detail:)`` naming an option that is not plain LoRA.
  static func adapter(
    _ entries: [String: JSONValue], path: FilePath
  ) throws(CheckpointError) -> LoRA {
    func refused(_ detail: String) -> CheckpointError { .malformedManifest(path: path, detail: detail) }
    guard entries["peft_type"] == "LORA" else { throw refused("of PEFT's adapters Graft reads LORA only") }
    for (name, value) in entries.sorted(by: { $0.key < $1.key })
    where !harmless.contains(name) && !isOff(value) {
      throw refused("it uses \(printable(name)), and Graft reads plain LoRA only")
    }
    if let start = entries["init_lora_weights"]?.stringValue, !harmlessStarts.contains(start) {
      throw refused("init_lora_weights is \(printable(start)), which changes the backbone's own weights")
    }
    guard let rank = entries["r"]?.intValue, rank > 0 else { throw refused("r is no rank") }
    guard let alpha = entries["lora_alpha"]?.doubleValue, alpha.isFinite else {
      throw refused("lora_alpha is no number")
    }
    let isRankStabilized = entries["use_rslora"]?.boolValue ?? false
    // alpha / sqrt(r) in place of alpha / r.
    let factor = isRankStabilized ? Double(rank).squareRoot() : 1
    return LoRA(
      rank: rank, alpha: Float(alpha * factor), targets: [],
      dropout: BlockRate(Float(entries["lora_dropout"]?.doubleValue ?? 0)))
  }

  /// Entries that say nothing about what an adapter computes, or whose effect its tensors show, or that are read.
  private static let harmless: Set = [
    "peft_type", "peft_version", "auto_mapping", "base_model_name_or_path", "revision", "task_type",
    "inference_mode", "target_modules", "exclude_modules", "modules_to_save", "layers_pattern",
    "megatron_core", "qalora_group_size", "r", "lora_alpha", "lora_dropout", "use_rslora",
    "init_lora_weights", "classes", "normalization", "transform", "settings",
  ]
  /// Initial values of the factors that leave the backbone as it is.
  private static let harmlessStarts: Set = ["gaussian", "eva", "orthogonal"]

  private static func isOff(_ value: JSONValue) -> Bool {
    switch value {
    case .null, .bool(false), .string("none"): true
    case .array(let items): items.isEmpty
    case .object(let items): items.isEmpty
    default: false
    }
  }
}
