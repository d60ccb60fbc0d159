/// A tensor of a LoRA adapter as the PEFT library names it, in the spelling of any dialect.
enum PEFTModule {
  /// What PEFT puts before the names of the model that it wraps.
  private static let wrapper = "base_model.model."

  /// Graft's name for a tensor, and the target it belongs to; `nil` for any other tensor.
  static func graftName(_ name: String) -> (name: String, target: LoRA.Target?)? {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count > 2, let kind = parts.last else { return nil }
    let owner = parts[parts.count - 2]
    if ["head", "classifier"].contains(owner), ["weight", "bias"].contains(kind) {
      return ("head.\(kind)", nil)
    }
    guard ["lora_A", "lora_B"].contains(owner), kind == "weight" else { return nil }
    let path = parts.dropLast(2).joined(separator: ".")
    let module = path.hasPrefix(wrapper) ? String(path.dropFirst(wrapper.count)) : path
    guard let (owned, target) = Dialect.operation(ofModule: module).flatMap(target) else { return nil }
    return ("\(owned).\(owner).weight", target)
  }

  /// The target that an operation is, and the name under which Graft keeps its adapter.
  private static func target(_ operation: Dialect.Operation) -> (String, LoRA.Target)? {
    let name = operation.name
    if name == "patch_embed.proj" { return (name, .patchEmbedding) }
    guard NamePattern("blocks.{i}.*").matches(name), let dot = name.lastIndex(of: "."),
      let target = LoRA.Target(rawValue: String(name[name.index(after: dot)...]))
    else { return nil }
    guard let part = operation.part else { return (name, target) }
    let thirds: [LoRA.Target] = [.q, .k, .v]
    guard target == .qkv, part.parts == thirds.count else { return nil }
    return ("\(name[...dot])\(thirds[part.first].rawValue)", thirds[part.first])
  }
}
