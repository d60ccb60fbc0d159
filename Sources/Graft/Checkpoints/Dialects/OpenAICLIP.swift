extension Dialect {
  /// The image tower of OpenAI's CLIP and of open_clip's own; the projection into the space of texts is no classifier.
  static let openAICLIP: [Dialect] = [
    Dialect(
      name: "openai-clip",
      marks: ["class_embedding", "conv1.weight", "transformer.resblocks.0.attn.in_proj_weight"],
      prefixes: ["visual.", ""],
      rules: [
        Rule("class_embedding", "cls_token", .token), Rule("positional_embedding", "pos_embed", .table),
      ]
        + .modules([
          "conv1": "patch_embed.proj", "ln_pre": "norm_pre", "ln_post": "norm", "head": "head",
        ])
        + .tensors(
          "transformer.resblocks.{i}.",
          [
            "attn.in_proj_weight": "attn.qkv.weight", "attn.in_proj_bias": "attn.qkv.bias",
            "ls_1.gamma": "ls1.gamma", "ls_2.gamma": "ls2.gamma",
          ])
        + .block(
          "transformer.resblocks.{i}.",
          [
            "ln_1": "norm1", "ln_2": "norm2", "attn.out_proj": "attn.proj", "mlp.c_fc": "mlp.fc1",
            "mlp.c_proj": "mlp.fc2",
          ]),
      dropped: [
        "proj", "positional_embedding", "text_projection*", "token_embedding.*", "transformer.*",
        "ln_final.*",
        "text.*", "logit_scale", "logit_bias", "input_resolution", "context_length", "vocab_size",
        "attn_mask",
      ], hasHeadBeside: true,
      facts: Facts(epsilon: 1e-5, pooling: .token, normalization: .clip, resampling: .bicubicAntialias))
  ]
}
