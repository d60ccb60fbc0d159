extension ViT {
  /// Reads the settings off a timm-named checkpoint and checks every tensor against it.
  ///
  /// - Throws: `CheckpointError` naming missing, unexpected and misshapen tensors.
  init(reading file: SafetensorsFile, options: BackboneOptions) throws {
    let tensors = file.tensors
    if let telling = TellingTensor.first(in: file) { throw telling }
    guard let patch = tensors["patch_embed.proj.weight"]?.shape, patch.count == 4, patch[1] == 3,
      patch[2] == patch[3], patch[0] > 0, patch[2] > 0,
      let position = tensors["pos_embed"]?.shape, position.count == 3, position[1] > 1
    else {
      let needed = ["patch_embed.proj.weight", "pos_embed", "cls_token"].filter { tensors[$0] == nil }
      throw CheckpointError.tensorMismatch(
        path: file.path, missing: needed.isEmpty ? ["a square patch embedding of 3 channels"] : needed,
        unexpected: Array(file.names.prefix(4)), misshapen: [])
    }
    let width = patch[0]
    let grid = Int(Double(position[1] - 1).squareRoot().rounded())
    guard grid * grid + 1 == position[1] else {
      throw CheckpointError.tensorMismatch(
        path: file.path, missing: [], unexpected: [],
        misshapen: [.init(name: "pos_embed", expected: [1, grid * grid + 1, width], actual: position)])
    }
    // The last block's number tells the depth, so that the message names what another lacks; a file has at least one
    // block, and fewer than tensors.
    let blocks = tensors.keys.compactMap { name in
      name.hasPrefix("blocks.") ? name.dropFirst(7).split(separator: ".").first.flatMap { Int($0) } : nil
    }
    let depth = min((blocks.max() ?? 0), tensors.count) + 1
    let hasLayerScale = tensors["blocks.0.ls1.gamma"] != nil
    let hidden = max(1, tensors["blocks.0.mlp.fc1.weight"]?.shape.first ?? 4 * width)
    let heads = try options.heads ?? Self.usualHeads(width: width)
    self.init(
      imageSize: ImageSize(grid * patch[2]), patchSize: patch[2], width: width, depth: depth, heads: heads,
      hiddenWidth: hidden, hasLayerScale: hasLayerScale, epsilon: options.epsilon ?? 1e-6,
      normalization: options.normalization ?? (hasLayerScale ? .imageNet : .half))
    // A classification head of the pre-training is not part of the backbone, nor is what DINOv2 put in place of patches
    // that it hid.
    let expected = try shape().tensors.map { ($0.name, $0.shape) }
    try file.requireTensors(
      Dictionary(uniqueKeysWithValues: expected),
      ignoring: { ["head.weight", "head.bias", "mask_token"].contains($0) })
    if let imageSize = options.imageSize { self = try resized(to: imageSize) }
  }

  /// As many as timm's models of this width have.
  static func usualHeads(width: Int) throws -> Int {
    let known = BackboneCatalog.all.lazy.compactMap { $0.architecture as? ViT }.first { $0.width == width }
    if let known { return known.heads }
    guard width % 64 == 0 else {
      throw GraftError.badSetting(
        name: "heads", value: "unknown",
        reason: """
          no known model has the width \(width), and it is not a multiple of 64. Say --heads, or backbone_heads under \
          settings in a folder of the PEFT library's.
          """)
    }
    return width / 64
  }
}
