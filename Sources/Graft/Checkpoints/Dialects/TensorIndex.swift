/// What a file holds under canonical names, without a value of it.
struct TensorIndex: Sendable, Equatable {
  /// Shapes by name; a classifier's are not among them.
  var shapes: [String: [Int]] = [:]
  /// Tensors of which a part is zero and not in the file, such as a bias without the keys' third.
  var partial: Set<String> = []

  /// A tensor's shape; `nil` where it is not there.
  subscript(name: String) -> [Int]? { shapes[name] }

  /// The names, in the order of their UTF-8 bytes.
  var names: [String] { shapes.keys.sorted(by: Safetensors.precedes) }

  /// Channels of a patch's token; `nil` where nothing embeds patches.
  var patchWidth: Int? { self["patch_embed.proj.weight"]?.first }

  /// One more than the highest number of a block.
  var depth: Int {
    let block = NamePattern("blocks.{i}.*")
    return shapes.keys.compactMap { block.match($0)?.number }.max().map { $0 + 1 } ?? 0
  }
}
