/// The names of a LoRA adapter's tensors in the PEFT library, for ViTs of timm and of HuggingFace's transformers.
enum PEFTNames {
  /// A linear layer inside a block by its name in timm, in transformers from version 5 and in transformers before.
  private static let modules: [String: LoRA.Target] = [
    "attn.qkv": .qkv, "attn.proj": .proj, "mlp.fc1": .fc1, "mlp.fc2": .fc2,
    "attention.q_proj": .q, "attention.k_proj": .k, "attention.v_proj": .v, "attention.o_proj": .proj,
    "attention.attention.query": .q, "attention.attention.key": .k, "attention.attention.value": .v,
    "attention.output.dense": .proj, "intermediate.dense": .fc1, "output.dense": .fc2,
  ]

  private static func module(_ target: LoRA.Target, _ block: Int) -> String {
    switch target {
    case .q, .k, .v, .qkv, .proj: "blocks.\(block).attn.\(target.rawValue)"
    case .fc1, .fc2: "blocks.\(block).mlp.\(target.rawValue)"
    case .patchEmbedding: "patch_embed.proj"
    }
  }

  /// Graft's name for a tensor, and the target it belongs to; `nil` for any other tensor.
  static func graftName(_ name: String) -> (name: String, target: LoRA.Target?)? {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    guard parts.count > 2, let kind = parts.last else { return nil }
    let owner = parts[parts.count - 2]
    if ["head", "classifier"].contains(owner), ["weight", "bias"].contains(kind) {
      return ("head.\(kind)", nil)
    }
    guard ["lora_A", "lora_B"].contains(owner), kind == "weight" else { return nil }
    let path = parts.dropLast(2)
    if let list = path.firstIndex(where: { ["blocks", "layers", "layer"].contains($0) }),
      path.indices.contains(list + 1), let block = Int(path[list + 1]), block >= 0
    {
      guard let target = modules[path[(list + 2)...].joined(separator: ".")] else { return nil }
      return ("\(module(target, block)).\(owner).weight", target)
    }
    let last = path.suffix(2).joined(separator: ".")
    guard ["patch_embed.proj", "patch_embeddings.projection"].contains(last) else { return nil }
    return ("\(module(.patchEmbedding, 0)).\(owner).weight", .patchEmbedding)
  }
}
