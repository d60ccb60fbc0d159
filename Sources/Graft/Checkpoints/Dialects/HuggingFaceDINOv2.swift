extension Dialect {
  /// transformers' Dinov2 and Dinov2WithRegisters, as published and as version 5 names them in memory.
  static let huggingFaceDINOv2: [Dialect] = [false, true].flatMap { hasRegisters in
    [
      huggingFaceDINOv2(
        hasRegisters, "", attention: "attention.attention.query.weight",
        rules: .huggingFaceAttention
          + .block(layer, ["mlp.weights_in": "mlp.fc1", "mlp.weights_out": "mlp.fc2"])),
      huggingFaceDINOv2(
        hasRegisters, "-5", attention: "attention.q_proj.weight",
        rules: .projections(layer)
          + .packed(["\(layer)mlp.gate_proj", "\(layer)mlp.up_proj"], in: "blocks.{i}.mlp.fc1")
          + .block(layer, ["mlp.down_proj": "mlp.fc2"])),
    ]
  }

  private static let layer = "encoder.layer.{i}."

  private static func huggingFaceDINOv2(
    _ hasRegisters: Bool, _ spelling: String, attention: String, rules: [Rule]
  ) -> Dialect {
    let registers: NamePattern = "embeddings.register_tokens"
    let ends =
      hasRegisters
      ? [Rule].huggingFaceEnds.without("cls_token", "pos_embed")
        + .classPosition("embeddings.cls_token", "embeddings.position_embeddings")
        + [Rule(registers.text, "reg_token")]
      : [Rule].huggingFaceEnds
    return Dialect(
      name: "huggingface-dinov2\(hasRegisters ? "-registers" : "")\(spelling)",
      marks: [
        "embeddings.patch_embeddings.projection.weight", "encoder.layer.0.norm1.weight",
        NamePattern("encoder.layer.0.\(attention)"),
      ] + (hasRegisters ? [registers] : []), absent: hasRegisters ? [] : [registers],
      prefixes: ["", "dinov2.", "dinov2_with_registers."],
      rules: ends + rules
        + .block(layer, ["norm1": "norm1", "norm2": "norm2", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"])
        + .tensors(layer, ["layer_scale1.lambda1": "ls1.gamma", "layer_scale2.lambda1": "ls2.gamma"]),
      dropped: ["embeddings.mask_token"], hasHeadBeside: true,
      facts: Facts(
        epsilon: 1e-6, pooling: .token, normalization: .imageNet,
        resampling: hasRegisters ? .bicubicAntialias : .bicubicHalfPixel))
  }
}
