extension Dialect {
  /// transformers' DINOv3ViT, with and without gated MLPs, as published and as version 5 names them in memory.
  static let huggingFaceDINOv3: [Dialect] = ["layer.", "model.layer."].flatMap { layers in
    [false, true].map { huggingFaceDINOv3(layers, isGated: $0) }
  }

  private static func huggingFaceDINOv3(_ layers: String, isGated: Bool) -> Dialect {
    let layer = "\(layers){i}."
    let gate = NamePattern("\(layers)0.mlp.gate_proj.weight")
    let mlp: [Rule] =
      isGated
      ? .packed(["\(layer)mlp.gate_proj", "\(layer)mlp.up_proj"], in: "blocks.{i}.mlp.fc1")
      : .block(layer, ["mlp.up_proj": "mlp.fc1"])
    return Dialect(
      name: "huggingface-dinov3\(isGated ? "-gated" : "")\(layers == "layer." ? "" : "-5")",
      marks: [
        "embeddings.patch_embeddings.weight", "embeddings.cls_token",
        NamePattern("\(layers)0.attention.q_proj.weight"),
      ] + (isGated ? [gate] : []), absent: isGated ? [] : [gate], prefixes: ["", "dinov3_vit."],
      rules: [
        Rule("embeddings.cls_token", "cls_token"), Rule("embeddings.register_tokens", "reg_token"),
      ]
        + .modules(["embeddings.patch_embeddings": "patch_embed.proj", "norm": "norm", "classifier": "head"])
        + .projections(layer) + mlp
        + .block(layer, ["norm1": "norm1", "norm2": "norm2", "mlp.down_proj": "mlp.fc2"])
        + .tensors(layer, ["layer_scale1.lambda1": "ls1.gamma", "layer_scale2.lambda1": "ls2.gamma"]),
      dropped: ["embeddings.mask_token"], hasHeadBeside: true, isEVAInTimm: true,
      facts: Facts(epsilon: 1e-5, pooling: .token, normalization: .imageNet))
  }
}
