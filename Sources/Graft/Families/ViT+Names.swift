/// The Vision Transformers of timm that ``ViT`` computes, by name, with the weights that timm has for each.
///
/// A list of values: `tools/fixtures/counts.py` reads sizes, parameters and multiply-accumulates off timm's own models, and a
/// test compares every one. What is not in the list differs in something, however alike its name.
extension NamedArchitecture {
  /// All of them, the plain ones first.
  static let visionTransformers: [NamedArchitecture] =
    // Plain: a class token in front, positions for all tokens, the exact GELU. DINOv2 has a layer scale.
    of([
      .init("vit_tiny_patch16_224", 16, 224, .tiny, half: "augreg_in21k augreg_in21k_ft_in1k"),
      .init("vit_tiny_patch16_384", 16, 384, .tiny, half: "augreg_in21k_ft_in1k"),
      .init("vit_small_patch32_224", 32, 224, .small, half: "augreg_in21k augreg_in21k_ft_in1k"),
      .init("vit_small_patch32_384", 32, 384, .small, half: "augreg_in21k_ft_in1k"),
      .init(
        "vit_small_patch16_224", 16, 224, .small, half: "augreg_in1k augreg_in21k augreg_in21k_ft_in1k",
        imageNet: "dino"),
      .init("vit_small_patch16_384", 16, 384, .small, half: "augreg_in1k augreg_in21k_ft_in1k"),
      .init("vit_small_patch14_dinov2", 14, 518, .small.scaled, .imageNet, imageNet: "lvd142m"),
      .init("vit_small_patch8_224", 8, 224, .small, .imageNet, imageNet: "dino"),
      .init(
        "vit_base_patch32_224", 32, 224, .base,
        half: "augreg_in1k augreg_in21k augreg_in21k_ft_in1k orig_in21k sam_in1k"),
      .init("vit_base_patch32_384", 32, 384, .base, half: "augreg_in1k augreg_in21k_ft_in1k"),
      .init(
        "vit_base_patch16_224", 16, 224, .base,
        half:
          "augreg2_in21k_ft_in1k augreg_in1k augreg_in21k augreg_in21k_ft_in1k orig_in21k orig_in21k_ft_in1k sam_in1k",
        imageNet: "dino mae", clip: "bamboo"),
      .init(
        "vit_base_patch16_384", 16, 384, .base, half: "augreg_in1k augreg_in21k_ft_in1k orig_in21k_ft_in1k"),
      .init("vit_base_patch14_dinov2", 14, 518, .base.scaled, .imageNet, imageNet: "lvd142m"),
      .init(
        "vit_base_patch8_224", 8, 224, .base, half: "augreg2_in21k_ft_in1k augreg_in21k augreg_in21k_ft_in1k",
        imageNet: "dino"),
      .init("vit_base_patch32_plus_256", 32, 256, .basePlus.scaled),
      .init("vit_base_patch16_plus_240", 16, 240, .basePlus.scaled),
      .init("vit_small_patch16_36x1_224", 16, 224, .deepSmall.scaled),
      .init("vit_large_patch32_224", 32, 224, .large, half: "orig_in21k"),
      .init("vit_large_patch32_384", 32, 384, .large, half: "orig_in21k_ft_in1k"),
      .init(
        "vit_large_patch16_224", 16, 224, .large, half: "augreg_in21k augreg_in21k_ft_in1k orig_in21k",
        imageNet: "mae"),
      .init("vit_large_patch16_384", 16, 384, .large, half: "augreg_in21k_ft_in1k"),
      .init("vit_large_patch14_224", 14, 224, .large),
      .init("vit_large_patch14_dinov2", 14, 518, .large.scaled, .imageNet, imageNet: "lvd142m"),
      .init("vit_huge_patch14_224", 14, 224, .huge, half: "orig_in21k", imageNet: "mae"),
      .init("vit_giant_patch14_224", 14, 224, .giant),
      .init("vit_gigantic_patch14_224", 14, 224, .gigantic),
      .init("deit_tiny_patch16_224", 16, 224, .tiny, .imageNet, imageNet: "fb_in1k"),
      .init("deit_small_patch16_224", 16, 224, .small, .imageNet, imageNet: "fb_in1k"),
      .init("deit_base_patch16_224", 16, 224, .base, .imageNet, imageNet: "fb_in1k"),
      .init("deit_base_patch16_384", 16, 384, .base, .imageNet, imageNet: "fb_in1k"),
    ])
    // BEiT: relative positions, the mean of the cells under a norm behind it.
    + of([
      .init("beit_base_patch16_224", 16, 224, .base.scaled, half: "in22k_ft_in22k in22k_ft_in22k_in1k"),
      .init(
        "beitv2_base_patch16_224", 16, 224, .base.scaled, .imageNet,
        imageNet: "in1k_ft_in1k in1k_ft_in22k in1k_ft_in22k_in1k"),
      .init("beit_base_patch16_384", 16, 384, .base.scaled, half: "in22k_ft_in22k_in1k"),
      .init("beit_large_patch16_224", 16, 224, .large.scaled, half: "in22k_ft_in22k in22k_ft_in22k_in1k"),
      .init(
        "beitv2_large_patch16_224", 16, 224, .large.scaled, .imageNet,
        imageNet: "in1k_ft_in1k in1k_ft_in22k in1k_ft_in22k_in1k"),
      .init("beit_large_patch16_384", 16, 384, .large.scaled, half: "in22k_ft_in22k_in1k"),
      .init("beit_large_patch16_512", 16, 512, .large.scaled, half: "in22k_ft_in22k_in1k"),
    ]) {
      $0.positions = .none
      $0.qkvBias = .partial
      $0.hasRelativePositions = true
      $0.pooling = .mean
      $0.poolsFirst = true
    }
    // DeiT III and FlexiViT: positions for the cells alone.
    + of([
      .init(
        "deit3_small_patch16_224", 16, 224, .small.scaled, .imageNet, imageNet: "fb_in1k fb_in22k_ft_in1k"),
      .init("flexivit_small", 16, 240, .small, half: "300ep_in1k 600ep_in1k 1200ep_in1k"),
      .init(
        "deit3_small_patch16_384", 16, 384, .small.scaled, .imageNet, imageNet: "fb_in1k fb_in22k_ft_in1k"),
      .init(
        "deit3_medium_patch16_224", 16, 224, .medium.scaled, .imageNet, imageNet: "fb_in1k fb_in22k_ft_in1k"),
      .init("deit3_base_patch16_224", 16, 224, .base.scaled, .imageNet, imageNet: "fb_in1k fb_in22k_ft_in1k"),
      .init(
        "flexivit_base", 16, 240, .base,
        half: "300ep_in1k 300ep_in21k 600ep_in1k 1000ep_in21k 1200ep_in1k patch16_in21k patch30_in21k"),
      .init("deit3_base_patch16_384", 16, 384, .base.scaled, .imageNet, imageNet: "fb_in1k fb_in22k_ft_in1k"),
      .init(
        "deit3_large_patch16_224", 16, 224, .large.scaled, .imageNet, imageNet: "fb_in1k fb_in22k_ft_in1k"),
      .init("flexivit_large", 16, 240, .large, half: "300ep_in1k 600ep_in1k 1200ep_in1k"),
      .init(
        "deit3_large_patch16_384", 16, 384, .large.scaled, .imageNet, imageNet: "fb_in1k fb_in22k_ft_in1k"),
      .init("deit3_huge_patch14_224", 14, 224, .huge.scaled, .imageNet, imageNet: "fb_in1k fb_in22k_ft_in1k"),
    ]) {
      $0.positions = .cells
    }
    // DeiT distilled: a second token in front.
    + of([
      .init("deit_tiny_distilled_patch16_224", 16, 224, .tiny, .imageNet, imageNet: "fb_in1k"),
      .init("deit_small_distilled_patch16_224", 16, 224, .small, .imageNet, imageNet: "fb_in1k"),
      .init("deit_base_distilled_patch16_224", 16, 224, .base, .imageNet, imageNet: "fb_in1k"),
      .init("deit_base_distilled_patch16_384", 16, 384, .base, .imageNet, imageNet: "fb_in1k"),
    ]) {
      $0.hasDistillationToken = true
    }
    // EVA-02, base and large: gated networks with a norm inside.
    + of([
      .init("eva02_base_patch14_224", 14, 224, .gatedBase, .clip, clip: "mim_in22k"),
      .init(
        "eva02_base_patch14_448", 14, 448, .gatedBase, .clip,
        clip: "mim_in22k_ft_in1k mim_in22k_ft_in22k mim_in22k_ft_in22k_in1k"),
      .init("eva02_large_patch14_224", 14, 224, .gatedLarge, .clip, clip: "mim_in22k mim_m38m"),
      .init(
        "eva02_large_patch14_448", 14, 448, .gatedLarge, .clip,
        clip:
          "mim_in22k_ft_in1k mim_in22k_ft_in22k mim_in22k_ft_in22k_in1k mim_m38m_ft_in1k mim_m38m_ft_in22k mim_m38m_ft_in22k_in1k"
      ),
    ]) {
      $0.activation = .silu
      $0.isGated = true
      $0.hasHiddenNorm = true
      $0.qkvBias = .partial
      $0.rotation = .eva02
      $0.pooling = .mean
      $0.poolsFirst = true
    }
    // EVA-02 of CLIP: another norm behind the attention, and the class token.
    + of([
      .init("eva02_base_patch16_clip_224", 16, 224, .gatedBase, .clip, clip: "merged2b"),
      .init("eva02_large_patch14_clip_224", 14, 224, .gatedLarge, .clip, clip: "merged2b"),
      .init("eva02_large_patch14_clip_336", 14, 336, .gatedLarge, .clip, clip: "merged2b"),
    ]) {
      $0.activation = .silu
      $0.isGated = true
      $0.hasHiddenNorm = true
      $0.qkvBias = .partial
      $0.hasAttentionNorm = true
      $0.rotation = .eva02
    }
    // EVA-02, tiny and small: gated networks.
    + of([
      .init("eva02_tiny_patch14_224", 14, 224, .gatedTiny, .clip, clip: "mim_in22k"),
      .init("eva02_tiny_patch14_336", 14, 336, .gatedTiny, .clip, clip: "mim_in22k_ft_in1k"),
      .init("eva02_small_patch14_224", 14, 224, .gatedSmall, .clip, clip: "mim_in22k"),
      .init("eva02_small_patch14_336", 14, 336, .gatedSmall, .clip, clip: "mim_in22k_ft_in1k"),
    ]) {
      $0.activation = .silu
      $0.isGated = true
      $0.qkvBias = .partial
      $0.rotation = .eva02
      $0.pooling = .mean
      $0.poolsFirst = true
    }
    // EVA: queries and values have biases, keys none.
    + of([
      .init("eva_giant_patch14_224", 14, 224, .giant, .clip, clip: "clip_ft_in1k"),
      .init(
        "eva_giant_patch14_336", 14, 336, .giant, .clip, imageNet: "m30m_ft_in22k_in1k", clip: "clip_ft_in1k"),
      .init("eva_giant_patch14_560", 14, 560, .giant, .imageNet, imageNet: "m30m_ft_in22k_in1k"),
    ]) {
      $0.qkvBias = .partial
      $0.pooling = .mean
      $0.poolsFirst = true
    }
    // EVA of CLIP.
    + of([
      .init("eva_giant_patch14_clip_224", 14, 224, .giant, .clip, clip: "laion400m merged2b")
    ]) {
      $0.qkvBias = .partial
    }
    // MAE as it was fine-tuned, and EVA large: the mean of the cells, a norm behind it.
    + of([
      .init("eva_large_patch14_196", 14, 196, .large, .clip, clip: "in22k_ft_in1k in22k_ft_in22k_in1k"),
      .init("eva_large_patch14_336", 14, 336, .large, .clip, clip: "in22k_ft_in1k in22k_ft_in22k_in1k"),
    ]) {
      $0.pooling = .mean
      $0.poolsFirst = true
    }
    // DINOv3, gated.
    + of([
      .init("vit_small_plus_patch16_dinov3", 16, 256, .small.scaled, .imageNet, imageNet: "lvd1689m"),
      .init("vit_huge_plus_patch16_dinov3", 16, 256, .hugePlus.scaled, .imageNet, imageNet: "lvd1689m"),
      .init(
        "vit_7b_patch16_dinov3", 16, 256, .seven.scaled, .imageNet, imageNet: "lvd1689m", satellite: "sat493m"
      ),
    ]) {
      $0.registers = 4
      $0.positions = .none
      $0.activation = .silu
      $0.isGated = true
      $0.qkvBias = .absent
      $0.rotation = .dinov3
      $0.pooling = .mean
      $0.epsilon = 1e-5
    }
    // TIPS v2: a register.
    + of([
      .init("vit_base_patch14_reg1_tipsv2", 14, 448, .base.scaled, .unit, unit: "webli"),
      .init("vit_large_patch14_reg1_tipsv2", 14, 448, .large.scaled, .unit, unit: "webli"),
      .init("vit_so400m_patch14_reg1_tipsv2", 14, 448, .so400m.scaled, .unit, unit: "webli"),
    ]) {
      $0.registers = 1
      $0.positions = .cells
    }
    // DINOv2 with registers.
    + of([
      .init("vit_small_patch14_reg4_dinov2", 14, 518, .small.scaled, .imageNet, imageNet: "lvd142m"),
      .init("vit_base_patch14_reg4_dinov2", 14, 518, .base.scaled, .imageNet, imageNet: "lvd142m"),
      .init("vit_large_patch14_reg4_dinov2", 14, 518, .large.scaled, .imageNet, imageNet: "lvd142m"),
    ]) {
      $0.registers = 4
      $0.positions = .cells
    }
    // Attention without biases.
    + of([
      .init("vit_base_patch16_224_miil", 16, 224, .base, .unit, unit: "in21k in21k_ft_in1k")
    ]) {
      $0.qkvBias = .absent
    }
    // CLIP: a norm before the first block, no bias in the patch embedding.
    + of([
      .init("vit_xsmall_patch16_clip_224", 16, 224, .extraSmall, .clip, clip: "tinyclip_yfcc15m"),
      .init("vit_medium_patch32_clip_224", 32, 224, .medium, .clip, clip: "tinyclip_laion400m"),
      .init("vit_medium_patch16_clip_224", 16, 224, .medium, .clip, clip: "tinyclip_yfcc15m"),
      .init("vit_betwixt_patch32_clip_224", 32, 224, .betwixt, .clip, clip: "tinyclip_laion400m"),
      .init(
        "vit_base_patch32_clip_224", 32, 224, .base, .clip,
        clip:
          "datacompxl laion2b laion2b_ft_in1k laion2b_ft_in12k_in1k laion400m_e32 metaclip_2pt5b metaclip_400m openai openai_ft_in1k"
      ),
      .init("vit_base_patch32_clip_256", 32, 256, .base, .clip, clip: "datacompxl"),
      .init(
        "vit_base_patch32_clip_384", 32, 384, .base, .clip, clip: "laion2b_ft_in12k_in1k openai_ft_in12k_in1k"
      ),
      .init("vit_base_patch32_clip_448", 32, 448, .base, .clip, clip: "laion2b_ft_in12k_in1k"),
      .init(
        "vit_base_patch16_clip_224", 16, 224, .base, .clip,
        clip:
          "datacompxl dfn2b laion2b laion2b_ft_in1k laion2b_ft_in12k laion2b_ft_in12k_in1k laion400m_e32 metaclip_2pt5b metaclip_400m openai openai_ft_in1k openai_ft_in12k openai_ft_in12k_in1k"
      ),
      .init(
        "vit_base_patch16_clip_384", 16, 384, .base, .clip,
        clip: "laion2b_ft_in1k laion2b_ft_in12k_in1k openai_ft_in1k openai_ft_in12k_in1k"),
      .init("vit_base_patch16_plus_clip_240", 16, 240, .basePlus, .clip, clip: "laion400m_e32"),
      .init(
        "vit_large_patch14_clip_224", 14, 224, .large, .clip,
        half: "laion2b laion2b_ft_in1k laion2b_ft_in12k laion2b_ft_in12k_in1k",
        clip:
          "apple_mclip2_dfndr2b datacompxl dfn2b dfn2b_s39b laion400m_e32 metaclip_2pt5b metaclip_400m openai openai_ft_in1k openai_ft_in12k openai_ft_in12k_in1k"
      ),
      .init(
        "vit_large_patch14_clip_336", 14, 336, .large, half: "laion2b_ft_in1k laion2b_ft_in12k_in1k",
        clip: "openai openai_ft_in12k_in1k"),
      .init(
        "vit_huge_patch14_clip_224", 14, 224, .huge, .clip,
        clip:
          "dfn5b laion2b laion2b_ft_in1k laion2b_ft_in12k laion2b_ft_in12k_in1k metaclip2_worldwide metaclip_2pt5b metaclip_altogether"
      ),
      .init("vit_huge_patch14_clip_336", 14, 336, .huge, .clip, clip: "laion2b_ft_in12k_in1k"),
      .init("vit_huge_patch14_clip_378", 14, 378, .huge, .clip, clip: "dfn5b metaclip2_worldwide"),
      .init("vit_giant_patch14_clip_224", 14, 224, .giant, .clip, clip: "laion2b"),
      .init(
        "vit_gigantic_patch14_clip_224", 14, 224, .gigantic, .clip,
        clip: "laion2b metaclip2_worldwide metaclip_2pt5b"),
      .init("vit_gigantic_patch14_clip_378", 14, 378, .gigantic, .clip, clip: "metaclip2_worldwide"),
    ]) {
      $0.hasPatchBias = false
      $0.hasFirstNorm = true
      $0.epsilon = 1e-5
    }
    // CLIP of OpenAI and those that continued it: QuickGELU.
    + of([
      .init(
        "vit_base_patch32_clip_quickgelu_224", 32, 224, .base, .clip,
        clip: "laion400m_e32 metaclip_2pt5b metaclip_400m openai"),
      .init(
        "vit_base_patch16_clip_quickgelu_224", 16, 224, .base, .clip,
        clip: "metaclip_2pt5b metaclip_400m openai"),
      .init(
        "vit_large_patch14_clip_quickgelu_224", 14, 224, .large, .clip,
        clip: "dfn2b metaclip_2pt5b metaclip_400m openai"),
      .init("vit_large_patch14_clip_quickgelu_336", 14, 336, .large, .clip, clip: "openai"),
      .init(
        "vit_huge_patch14_clip_quickgelu_224", 14, 224, .huge, .clip,
        clip: "dfn5b metaclip2_worldwide metaclip_2pt5b"),
      .init("vit_huge_patch14_clip_quickgelu_378", 14, 378, .huge, .clip, clip: "dfn5b"),
      .init("vit_gigantic_patch14_clip_quickgelu_224", 14, 224, .gigantic, .clip, clip: "metaclip_2pt5b"),
    ]) {
      $0.hasPatchBias = false
      $0.hasFirstNorm = true
      $0.activation = .quickGELU
      $0.epsilon = 1e-5
    }
    // DINOv3: rotary positions, four storage tokens, the mean of the cells under the last norm.
    + of([
      .init("vit_small_patch16_dinov3", 16, 256, .small.scaled, .imageNet, imageNet: "lvd1689m"),
      .init("vit_base_patch16_dinov3", 16, 256, .base.scaled, .imageNet, imageNet: "lvd1689m"),
      .init(
        "vit_large_patch16_dinov3", 16, 256, .large.scaled, .imageNet, imageNet: "lvd1689m",
        satellite: "sat493m"),
    ]) {
      $0.registers = 4
      $0.positions = .none
      $0.qkvBias = .absent
      $0.rotation = .dinov3
      $0.pooling = .mean
      $0.epsilon = 1e-5
    }
    // DINOv3 with biases of queries and values.
    + of([
      .init("vit_tiny_patch16_dinov3_qkvb", 16, 256, .tiny.scaled, .imageNet, imageNet: "eupe_lvd1689m"),
      .init(
        "vit_small_patch16_dinov3_qkvb", 16, 256, .small.scaled, .imageNet, imageNet: "eupe_lvd1689m lvd1689m"
      ),
      .init(
        "vit_base_patch16_dinov3_qkvb", 16, 256, .base.scaled, .imageNet, imageNet: "eupe_lvd1689m lvd1689m"),
      .init(
        "vit_large_patch16_dinov3_qkvb", 16, 256, .large.scaled, .imageNet, imageNet: "lvd1689m",
        satellite: "sat493m"),
    ]) {
      $0.registers = 4
      $0.positions = .none
      $0.qkvBias = .partial
      $0.rotation = .dinov3
      $0.pooling = .mean
      $0.epsilon = 1e-5
    }
    // SigLIP without its pool, by the mean of the cells.
    + of([
      .init("vit_base_patch16_gap_224", 16, 224, .baseOf16Heads),
      .init("vit_base_patch16_siglip_gap_224", 16, 224, .base, half: "v2_webli webli"),
      .init("vit_base_patch16_siglip_gap_256", 16, 256, .base, half: "v2_webli webli webli_i18n"),
      .init("vit_base_patch16_siglip_gap_384", 16, 384, .base, half: "v2_webli webli"),
      .init("vit_base_patch16_siglip_gap_512", 16, 512, .base, half: "v2_webli webli"),
      .init("vit_large_patch16_siglip_gap_256", 16, 256, .large, half: "v2_webli webli"),
      .init("vit_large_patch16_siglip_gap_384", 16, 384, .large, half: "v2_webli webli"),
      .init(
        "vit_so400m_patch14_siglip_gap_224", 14, 224, .so400m,
        half: "pali2_3b_pt pali2_10b_pt pali_mix pali_pt v2_webli webli"),
      .init("vit_so400m_patch14_siglip_gap_378", 14, 378, .so400m, half: "v2_webli webli webli_ft_in1k"),
      .init("vit_so400m_patch14_siglip_gap_384", 14, 378, .so400m, half: "webli"),
      .init(
        "vit_so400m_patch14_siglip_gap_448", 14, 448, .so400m,
        half:
          "pali2_3b_docci pali2_3b_pt pali2_10b_docci pali2_10b_pt pali_mix pali_ocrvqa pali_pt pali_refcoco_seg"
      ),
      .init(
        "vit_so400m_patch14_siglip_gap_896", 14, 896, .so400m,
        half: "pali2_3b_pt pali2_10b_pt pali_ocrvqa pali_pt pali_refcoco_seg"),
      .init("vit_huge_patch16_gap_448", 16, 448, .huge, .imageNet, imageNet: "in1k_ijepa"),
      .init("vit_huge_patch14_gap_224", 14, 224, .huge, .imageNet, imageNet: "in1k_ijepa in22k_ijepa"),
      .init("vit_giant_patch16_gap_224", 16, 224, .giant, .imageNet, imageNet: "in22k_ijepa"),
    ]) {
      $0.hasClassToken = false
      $0.pooling = .mean
    }
    // LingBot, as DINOv3 with the class token.
    + of([
      .init("vit_small_patch16_lingbot", 16, 512, .small.scaled, .imageNet, imageNet: "robbyant"),
      .init("vit_base_patch16_lingbot", 16, 512, .base.scaled, .imageNet, imageNet: "robbyant"),
      .init("vit_large_patch16_lingbot", 16, 512, .large.scaled, .imageNet, imageNet: "robbyant"),
    ]) {
      $0.registers = 4
      $0.positions = .none
      $0.qkvBias = .partial
      $0.rotation = .dinov3
      $0.epsilon = 1e-5
    }
    // No class token: the mean of the cells.
    + of([
      .init("vit_little_patch16_reg4_gap_256", 16, 256, .little.scaled, half: "sbb_in1k"),
      .init(
        "vit_medium_patch16_reg4_gap_256", 16, 256, .medium.scaled,
        half: "sbb_in1k sbb_in12k sbb_in12k_ft_in1k"),
      .init(
        "vit_betwixt_patch16_reg4_gap_256", 16, 256, .betwixt.scaled,
        half: "sbb2_e200_in12k sbb2_e200_in12k_ft_in1k sbb_in1k sbb_in12k sbb_in12k_ft_in1k"),
      .init("vit_betwixt_patch16_reg4_gap_384", 16, 384, .betwixt.scaled, half: "sbb2_e200_in12k_ft_in1k"),
      .init("vit_base_patch16_reg4_gap_256", 16, 256, .base),
      .init(
        "vit_mediumd_patch16_reg4_gap_256", 16, 256, .deepMedium.scaled,
        half: "sbb2_e200_in12k sbb2_e200_in12k_ft_in1k sbb_in12k sbb_in12k_ft_in1k"),
      .init("vit_mediumd_patch16_reg4_gap_384", 16, 384, .deepMedium.scaled, half: "sbb2_e200_in12k_ft_in1k"),
    ]) {
      $0.hasClassToken = false
      $0.registers = 4
      $0.positions = .cells
      $0.pooling = .mean
      $0.poolsFirst = true
    }
    // Rotary positions and registers, no class token.
    + of([
      .init("vit_medium_patch16_rope_reg1_gap_256", 16, 256, .medium.scaled, half: "sbb_in1k"),
      .init("vit_base_patch16_rope_reg1_gap_256", 16, 256, .base.scaled, half: "sbb_in1k"),
    ]) {
      $0.hasClassToken = false
      $0.registers = 1
      $0.positions = .none
      $0.qkvBias = .partial
      $0.rotation = .eva02
      $0.pooling = .mean
      $0.poolsFirst = true
    }
    // SigLIP: a learned query pools.
    + of([
      .init("vit_base_patch16_siglip_224", 16, 224, .base, half: "v2_webli webli"),
      .init("vit_base_patch16_siglip_256", 16, 256, .base, half: "v2_webli webli webli_i18n"),
      .init("vit_base_patch16_siglip_384", 16, 384, .base, half: "v2_webli webli"),
      .init("vit_base_patch16_siglip_512", 16, 512, .base, half: "v2_webli webli"),
      .init("vit_large_patch16_siglip_256", 16, 256, .large, half: "v2_webli webli"),
      .init("vit_large_patch16_siglip_384", 16, 384, .large, half: "v2_webli webli"),
      .init("vit_so400m_patch14_siglip_224", 14, 224, .so400m, half: "v2_webli webli"),
      .init("vit_so400m_patch14_siglip_378", 14, 378, .so400m, half: "v2_webli webli webli_ft_in1k"),
      .init("vit_so400m_patch14_siglip_384", 14, 378, .so400m, half: "webli"),
    ]) {
      $0.hasClassToken = false
      $0.pooling = .attention
    }
    // SigLIP: a learned query pools.
    + of([
      .init("vit_base_patch32_siglip_256", 32, 256, .base, half: "v2_webli"),
      .init("vit_large_patch16_siglip_512", 16, 512, .large, half: "v2_webli"),
      .init("vit_so400m_patch16_siglip_256", 16, 256, .so400m, half: "v2_webli webli_i18n"),
      .init("vit_so400m_patch16_siglip_384", 16, 384, .so400m, half: "v2_webli"),
      .init("vit_so400m_patch16_siglip_512", 16, 512, .so400m, half: "v2_webli"),
      .init("vit_giantopt_patch16_siglip_256", 16, 256, .giantOptimal, half: "v2_webli"),
      .init("vit_giantopt_patch16_siglip_384", 16, 384, .giantOptimal, half: "v2_webli"),
    ]) {
      $0.hasClassToken = false
      $0.activation = .geluTanh
      $0.pooling = .attention
    }
    // SigLIP without its pool, by the mean of the cells.
    + of([
      .init("vit_base_patch32_siglip_gap_256", 32, 256, .base, half: "v2_webli"),
      .init("vit_large_patch16_siglip_gap_512", 16, 512, .large, half: "v2_webli"),
      .init("vit_so400m_patch16_siglip_gap_256", 16, 256, .so400m, half: "v2_webli webli_i18n"),
      .init("vit_so400m_patch16_siglip_gap_384", 16, 384, .so400m, half: "v2_webli"),
      .init("vit_so400m_patch16_siglip_gap_512", 16, 512, .so400m, half: "v2_webli"),
      .init("vit_giantopt_patch16_siglip_gap_256", 16, 256, .giantOptimal, half: "v2_webli"),
      .init("vit_giantopt_patch16_siglip_gap_384", 16, 384, .giantOptimal, half: "v2_webli"),
    ]) {
      $0.hasClassToken = false
      $0.activation = .geluTanh
      $0.pooling = .mean
    }
    // No class token: the mean of the cells.
    + of([
      .init("vit_medium_patch16_gap_240", 16, 240, .medium.scaled, half: "sw_in12k"),
      .init("vit_medium_patch16_gap_256", 16, 256, .medium.scaled, half: "sw_in12k_ft_in1k"),
      .init("vit_medium_patch16_gap_384", 16, 384, .medium.scaled, half: "sw_in12k_ft_in1k"),
      .init("vit_betwixt_patch16_gap_256", 16, 256, .betwixt.scaled),
    ]) {
      $0.hasClassToken = false
      $0.qkvBias = .absent
      $0.pooling = .mean
    }
    // No class token: the mean of the cells.
    + of([
      .init("vit_wee_patch16_reg1_gap_256", 16, 256, .wee.scaled, half: "sbb_in1k"),
      .init("vit_little_patch16_reg1_gap_256", 16, 256, .little.scaled, half: "sbb_in12k sbb_in12k_ft_in1k"),
      .init("vit_medium_patch16_reg1_gap_256", 16, 256, .medium.scaled, half: "sbb_in1k"),
      .init("vit_betwixt_patch16_reg1_gap_256", 16, 256, .betwixt.scaled, half: "sbb_in1k"),
    ]) {
      $0.hasClassToken = false
      $0.registers = 1
      $0.positions = .cells
      $0.pooling = .mean
      $0.poolsFirst = true
    }
    // Rotary positions and registers, no class token.
    + of([
      .init("vit_betwixt_patch16_rope_reg4_gap_256", 16, 256, .betwixt.scaled, .clip, clip: "sbb_in1k")
    ]) {
      $0.hasClassToken = false
      $0.registers = 4
      $0.positions = .none
      $0.qkvBias = .partial
      $0.rotation = .eva02
      $0.pooling = .mean
      $0.poolsFirst = true
    }
    // DINOv2 giant: gated networks.
    + of([
      .init("vit_giant_patch14_dinov2", 14, 518, .dinoGiant.scaled, .imageNet, imageNet: "lvd142m")
    ]) {
      $0.activation = .silu
      $0.isGated = true
    }
    // TIPS v2 giant: gated networks and a register.
    + of([
      .init("vit_giant_patch14_reg1_tipsv2", 14, 448, .dinoGiant.scaled, .unit, unit: "webli")
    ]) {
      $0.registers = 1
      $0.positions = .cells
      $0.activation = .silu
      $0.isGated = true
    }
    // DINOv2 giant: gated networks.
    + of([
      .init("vit_giant_patch14_reg4_dinov2", 14, 518, .dinoGiant.scaled, .imageNet, imageNet: "lvd142m")
    ]) {
      $0.registers = 4
      $0.positions = .cells
      $0.activation = .silu
      $0.isGated = true
    }
    // LingBot, as DINOv3 with the class token.
    + of([
      .init("vit_giant_patch16_lingbot", 16, 512, .dinoGiant.scaled, .imageNet, imageNet: "robbyant")
    ]) {
      $0.registers = 4
      $0.positions = .none
      $0.activation = .silu
      $0.isGated = true
      $0.qkvBias = .absent
      $0.rotation = .dinov3
      $0.epsilon = 1e-5
    }
    // DINOv3, gated, with biases of queries and values.
    + of([
      .init("vit_small_plus_patch16_dinov3_qkvb", 16, 256, .small.scaled, .imageNet, imageNet: "lvd1689m"),
      .init("vit_huge_plus_patch16_dinov3_qkvb", 16, 256, .hugePlus.scaled, .imageNet, imageNet: "lvd1689m"),
    ]) {
      $0.registers = 4
      $0.positions = .none
      $0.activation = .silu
      $0.isGated = true
      $0.qkvBias = .partial
      $0.rotation = .dinov3
      $0.pooling = .mean
      $0.epsilon = 1e-5
    }
    // Rotary positions and registers, no class token.
    + of([
      .init("vit_mediumd_patch16_rope_reg1_gap_256", 16, 256, .deepMedium.scaled, half: "sbb_in1k")
    ]) {
      $0.hasClassToken = false
      $0.registers = 1
      $0.positions = .none
      $0.qkvBias = .absent
      $0.rotation = .eva02
      $0.pooling = .mean
      $0.poolsFirst = true
    }
    // No class token: the mean of the cells.
    + of([
      .init(
        "vit_so150m2_patch16_reg1_gap_256", 16, 256, .so150m2.scaled,
        half: "sbb_e200_in12k sbb_e200_in12k_ft_in1k"),
      .init("vit_so150m2_patch16_reg1_gap_384", 16, 384, .so150m2.scaled, half: "sbb_e200_in12k_ft_in1k"),
      .init("vit_so150m2_patch16_reg1_gap_448", 16, 448, .so150m2.scaled, half: "sbb_e200_in12k_ft_in1k"),
    ]) {
      $0.hasClassToken = false
      $0.registers = 1
      $0.qkvBias = .absent
      $0.pooling = .mean
      $0.poolsFirst = true
    }
    // No class token: the mean of the cells.
    + of([
      .init(
        "vit_so150m_patch16_reg4_gap_256", 16, 256, .so150m, half: "sbb_e250_in12k sbb_e250_in12k_ft_in1k"),
      .init("vit_so150m_patch16_reg4_gap_384", 16, 384, .so150m, half: "sbb_e250_in12k_ft_in1k"),
    ]) {
      $0.hasClassToken = false
      $0.registers = 4
      $0.pooling = .mean
    }
    // A learned query pools.
    + of([
      .init("vit_so150m_patch16_reg4_map_256", 16, 256, .so150m)
    ]) {
      $0.hasClassToken = false
      $0.registers = 4
      $0.pooling = .attention
    }

  /// Names that share what is no size.
  private static func of(_ rows: [Row], _ settings: (inout ViT) -> Void = { _ in }) -> [NamedArchitecture] {
    rows.map { row in
      var vit = row.plain
      settings(&vit)
      return NamedArchitecture(name: row.name, architecture: vit, tags: row.tags)
    }
  }

  /// What the blocks of an architecture are.
  private struct Blocks {
    var width: Int
    var depth: Int
    var heads: Int
    var hidden: Int
    var hasLayerScale = false

    static let tiny = Blocks(width: 192, depth: 12, heads: 3, hidden: 768)
    static let extraSmall = Blocks(width: 256, depth: 10, heads: 4, hidden: 1024)
    static let wee = Blocks(width: 256, depth: 14, heads: 4, hidden: 1280)
    static let little = Blocks(width: 320, depth: 14, heads: 5, hidden: 1792)
    static let small = Blocks(width: 384, depth: 12, heads: 6, hidden: 1536)
    static let medium = Blocks(width: 512, depth: 12, heads: 8, hidden: 2048)
    static let betwixt = Blocks(width: 640, depth: 12, heads: 10, hidden: 2560)
    static let base = Blocks(width: 768, depth: 12, heads: 12, hidden: 3072)
    static let baseOf16Heads = Blocks(width: 768, depth: 12, heads: 16, hidden: 3072)
    static let deepMedium = Blocks(width: 512, depth: 20, heads: 8, hidden: 2048)
    static let basePlus = Blocks(width: 896, depth: 12, heads: 14, hidden: 3584)
    static let deepSmall = Blocks(width: 384, depth: 36, heads: 6, hidden: 1536)
    static let so150m = Blocks(width: 896, depth: 18, heads: 14, hidden: 2304)
    static let so150m2 = Blocks(width: 832, depth: 21, heads: 13, hidden: 2176)
    static let large = Blocks(width: 1024, depth: 24, heads: 16, hidden: 4096)
    static let so400m = Blocks(width: 1152, depth: 27, heads: 16, hidden: 4304)
    static let huge = Blocks(width: 1280, depth: 32, heads: 16, hidden: 5120)
    static let hugePlus = Blocks(width: 1280, depth: 32, heads: 20, hidden: 5120)
    static let giant = Blocks(width: 1408, depth: 40, heads: 16, hidden: 6144)
    static let giantOptimal = Blocks(width: 1536, depth: 40, heads: 16, hidden: 6144)
    static let dinoGiant = Blocks(width: 1536, depth: 40, heads: 24, hidden: 4096)
    static let gigantic = Blocks(width: 1664, depth: 48, heads: 16, hidden: 8192)
    static let seven = Blocks(width: 4096, depth: 40, heads: 32, hidden: 8192)
    static let gatedTiny = Blocks(width: 192, depth: 12, heads: 3, hidden: 512)
    static let gatedSmall = Blocks(width: 384, depth: 12, heads: 6, hidden: 1024)
    static let gatedBase = Blocks(width: 768, depth: 12, heads: 12, hidden: 2048)
    static let gatedLarge = Blocks(width: 1024, depth: 24, heads: 16, hidden: 2730)

    /// The same with a layer scale.
    var scaled: Blocks {
      var copy = self
      copy.hasLayerScale = true
      return copy
    }
  }

  /// A name with its sizes and tags; tags are separated by spaces, by what their pixels are scaled by.
  private struct Row {
    let name: String
    let plain: ViT
    let tags: [String: Normalization]

    init(
      _ name: String, _ patch: Int, _ imageSize: Int, _ blocks: Blocks,
      _ normalization: Normalization = .half,
      half: String = "", imageNet: String = "", clip: String = "", unit: String = "", satellite: String = ""
    ) {
      self.name = name
      plain = ViT(
        imageSize: ImageSize(imageSize), patchSize: patch, width: blocks.width, depth: blocks.depth,
        heads: blocks.heads, hiddenWidth: blocks.hidden, hasLayerScale: blocks.hasLayerScale,
        normalization: normalization)
      var tags: [String: Normalization] = [:]
      for (names, normalization) in [
        (half, Normalization.half), (imageNet, .imageNet), (clip, .clip), (unit, .unit),
        (satellite, .satellite),
      ] {
        for tag in names.split(separator: " ") { tags[String(tag)] = normalization }
      }
      self.tags = tags
    }
  }
}
