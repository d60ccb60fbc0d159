/// How the PEFT library names the tensors of an adapter: by the modules of the model that it wraps.
struct PEFTNaming {
  /// Entries of `adapter_config.json` by which it reads the adapter.
  let entries: [String: JSONValue]
  /// Names in that model by Graft's, where they differ.
  private var names: [String: String] = [:]

  /// The name in a file of PEFT's.
  subscript(own: String) -> String { PEFTConfiguration.tensorPrefix + (names[own] ?? own) }

  /// On timm's model; `nil` where a target is no module there.
  init?(timm adapter: LoRA) {
    var modules: [String] = []
    for target in adapter.targets {
      // Two components each: "proj" alone would be the patch embedding's projection too.
      switch target {
      case .q, .k, .v: return nil
      case .qkv: modules.append("attn.qkv")
      case .proj: modules.append("attn.proj")
      case .fc1: modules.append("mlp.fc1")
      case .fc2: modules.append("mlp.fc2")
      case .patchEmbedding: modules.append("patch_embed.proj")
      }
    }
    guard let entries = PEFTConfiguration.entries(for: adapter, modules: modules, head: "head") else {
      return nil
    }
    self.entries = entries
  }

  /// On the model of transformers' that the weights are from, with a classifier; `nil` for weights of others, and where a
  /// target is no module there.
  init?(transformers adapter: LoRA, places: [LoRA.Place], of weights: CanonicalWeights) {
    guard weights.dialect.isTransformers else { return nil }
    var modules: [String] = []
    for place in places {
      guard let module = weights.module(place) else { return nil }
      modules.append(module)
      for factor in ["lora_A.weight", "lora_B.weight"] {
        names["\(place.name).\(factor)"] = "\(module).\(factor)"
      }
    }
    for part in ["weight", "bias"] { names["head.\(part)"] = weights.nameOfHead("head.\(part)") }
    let head = String(weights.nameOfHead("head.weight").dropLast(".weight".count))
    // Whole names: the end of one may be that of another too.
    guard let entries = PEFTConfiguration.entries(for: adapter, modules: modules, head: head) else {
      return nil
    }
    self.entries = entries
  }
}

extension CanonicalWeights {
  /// The layer in the file's own model that carries a product; `nil` where it is no layer of its own.
  fileprivate func module(_ place: LoRA.Place) -> String? {
    guard let assembly = assemblies["\(place.operation.id.name).weight"] else { return nil }
    let isThird = place.name != place.operation.id.name
    guard isThird == (assembly.parts == 3),
      let piece = assembly.pieces[isThird ? place.column / place.outputs : 0],
      piece.form.isRename, piece.source.hasSuffix(".weight")
    else { return nil }
    return (missingPrefix ?? "") + piece.source.dropLast(".weight".count)
  }
}
