public import SystemPackage

/// What a checkpoint's tensors cannot tell.
public struct BackboneOptions: Sendable, Hashable {
  /// Side of the images to prepare for; by default the size of the stored position embedding.
  public var imageSize: Int?
  /// Attention heads; by default those of timm's models of this width, or else 64 channels each.
  public var heads: Int?
  /// Added to the variance in layer normalisation; by default 1e-6, as in timm.
  public var epsilon: Float?
  /// What pixels are scaled by; by default ImageNet's figures for DINOv2 and one half otherwise, as in timm.
  public var normalization: Normalization?
  /// How the position embedding is brought to another image size.
  public var positionResampling: PositionResampling
  /// Those of the values above that nobody has said, though they are given: a recipe's, or an earlier run's guess.
  public var presumed: Set<BackboneFact> = []

  /// Creates options; the defaults are timm's.
  public init(
    imageSize: Int? = nil, heads: Int? = nil, epsilon: Float? = nil, normalization: Normalization? = nil,
    positionResampling: PositionResampling = .bicubicAntialias
  ) {
    self.imageSize = imageSize
    self.heads = heads
    self.epsilon = epsilon
    self.normalization = normalization
    self.positionResampling = positionResampling
  }

  /// These options, but for what others say about a file.
  func replacing(by others: BackboneOptions) -> BackboneOptions {
    var options = self
    options.imageSize = others.imageSize ?? imageSize
    options.heads = others.heads ?? heads
    options.epsilon = others.epsilon ?? epsilon
    options.normalization = others.normalization ?? normalization
    return options
  }
}

extension VisionTransformerShape {
  /// Reads the shape off a checkpoint's header; no weight is loaded.
  ///
  /// - Throws: `CheckpointError` when the file is damaged or of another kind of model.
  public init(path: FilePath, options: BackboneOptions = .init()) throws {
    try self.init(reading: SafetensorsFile(path: path), options: options)
  }

  /// Reads the shape off a timm-named checkpoint and checks every tensor against it.
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
    let shape = VisionTransformerShape(
      imageSize: grid * patch[2], patchSize: patch[2], width: width, depth: depth, heads: heads,
      hiddenWidth: hidden, hasLayerScale: hasLayerScale, epsilon: options.epsilon ?? 1e-6,
      normalization: options.normalization ?? (hasLayerScale ? .imageNet : .half))
    self = try shape.with(heads: heads)
    // A classification head of the pre-training is not part of the backbone, nor is what DINOv2 put in place of patches
    // that it hid.
    try file.requireTensors(
      tensorShapes, ignoring: { ["head.weight", "head.bias", "mask_token"].contains($0) })
    if let imageSize = options.imageSize { self = try resized(to: imageSize) }
  }

  /// As many as timm's models of this width have.
  static func usualHeads(width: Int) throws -> Int {
    if let known = Architecture.all.first(where: { $0.shape.width == width }) { return known.shape.heads }
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

  /// Name and shape of every tensor of the backbone in timm's names.
  var tensorShapes: [String: [Int]] {
    let d = width
    var shapes: [String: [Int]] = [
      "cls_token": [1, 1, d], "pos_embed": [1, positionGrid * positionGrid + 1, d],
      "patch_embed.proj.weight": [d, 3, patchSize, patchSize], "patch_embed.proj.bias": [d],
      "norm.weight": [d], "norm.bias": [d],
    ]
    for index in 0..<depth {
      let name = "blocks.\(index)"
      for norm in ["norm1", "norm2"] {
        shapes["\(name).\(norm).weight"] = [d]
        shapes["\(name).\(norm).bias"] = [d]
      }
      let linears = [
        ("attn.qkv", 3 * d, d), ("attn.proj", d, d), ("mlp.fc1", hiddenWidth, d), ("mlp.fc2", d, hiddenWidth),
      ]
      for (linear, outputs, inputs) in linears {
        shapes["\(name).\(linear).weight"] = [outputs, inputs]
        shapes["\(name).\(linear).bias"] = [outputs]
      }
      if hasLayerScale {
        shapes["\(name).ls1.gamma"] = [d]
        shapes["\(name).ls2.gamma"] = [d]
      }
    }
    return shapes
  }
}
