import Testing

@testable import Graft

/// The integers and MACs of the papers, computed from the model itself.
@Suite struct CountTests {
  private func summary(_ adapter: String, size: ImageSize = 224, classes: Int = 0) throws -> ModelSummary {
    let shape = try BackboneShape(named: "vit_base_patch16_224", imageSize: size)
    return try ModelSummary(shape, adapter: AdapterCatalog.named(adapter), classes: classes)
  }

  @Test(arguments: [
    ("linear", 0), ("ila", 40_496), ("ila+", 173_856), ("ila++", 354_032), ("alore", 148_992),
    ("houlsby", 313_536), ("adapter", 156_768), ("adaptformer", 156_768), ("repadapter", 239_808),
    ("convpass", 327_552), ("vpt-shallow", 76_800), ("vpt-deep", 921_600),
    ("bitfit", 102_912), ("lora", 294_912), ("ssf", 205_824), ("fact-tt", 61_440), ("fact-tk", 86_528),
  ])
  func adapterParameters(_ adapter: String, _ expected: Int) throws {
    #expect(try summary(adapter).adapterParameters == expected)
  }

  @Test func moduleParameters() throws {
    // One more plain module, one more down-sampling module.
    let shape = try BackboneShape(named: "vit_base_patch16_224")
    #expect(try ILA(.ila, locations: [3]).plan(for: shape).parameterCount == 20_248)
    #expect(try ILA(.ilaPlus, locations: []).plan(for: shape).parameterCount == 12 * 13_336)
    #expect(try AdaptFormer(bottleneck: 64).plan(for: shape).parameterCount == 1_189_632)
  }

  @Test(arguments: [
    ("vit_base_patch16_224", 85_798_656), ("vit_large_patch16_224", 303_301_632),
    ("vit_huge_patch14_224", 630_764_800), ("vit_small_patch14_dinov2", 22_056_192),
  ])
  func backboneParameters(_ name: String, _ expected: Int) throws {
    #expect(try BackboneShape(named: name).parameterCount == expected)
  }

  @Test(arguments: [(224, [197, 145, 101]), (448, [785, 677, 577])])
  func tokens(_ size: Int, _ expected: [Int]) throws {
    #expect(try summary("ila", size: ImageSize(size)).tokens == expected)
  }

  @Test(arguments: ["vpt-shallow", "vpt-deep"])
  func promptsAreTokens(_ name: String) throws {
    #expect(try summary(name).tokens == [297])
    #expect(try summary(name, size: 448).tokens == [885])
  }

  @Test(arguments: [
    ("vpt-deep", 224, 26.967), ("vpt-deep", 448, 90.066), ("vpt-shallow", 224, 26.967),
    ("linear", 224, 17.56), ("linear", 448, 78.49), ("ila", 224, 13.09), ("ila", 448, 66.86),
    ("ila+", 224, 13.11), ("ila+", 448, 66.95), ("ila++", 224, 13.14), ("ila++", 448, 67.06),
  ])
  func multiplyAccumulates(_ adapter: String, _ size: Int, _ expected: Double) throws {
    #expect(abs(try summary(adapter, size: ImageSize(size)).gmac - expected) < 0.005)
  }

  /// Products beside the backbone's, by hand: for each token of each block.
  @Test(arguments: [
    ("bitfit", 0), ("ssf", 11 * 768 * 12 * 197 + 196 * 768 + 768), ("lora", 8 * 4 * 768 * 12 * 197),
    ("fact-tt", (16 * 16 * 768 + 12 * 16 * 16) * 12 * 197),
    ("fact-tk", (32 * 16 * 768 + 12 * 32 * 32) * 12 * 197),
  ])
  func adaptersMultiplyAccumulates(_ adapter: String, _ expected: Int) throws {
    let added = try summary(adapter).gmac - summary("linear").gmac
    #expect(abs(added * 1e9 - Double(expected)) < 1000)
  }

  /// Any set of q, k, v, qkv, proj, fc1 and fc2: r times what goes in and comes out.
  @Test(arguments: [
    ([LoRA.Target.q, .v], 4 * 768), ([.proj], 2 * 768), ([.qkv, .proj, .fc1, .fc2], 16 * 768),
    ([.q, .k, .v], 6 * 768),
  ])
  func targetsOfLoRA(_ targets: [LoRA.Target], _ channels: Int) throws {
    let shape = try BackboneShape(named: "vit_base_patch16_224")
    #expect(try LoRA(rank: 8, targets: targets).plan(for: shape).parameterCount == 12 * 8 * channels)
  }

  @Test(arguments: AdapterCatalog.all.filter { $0.isMergeable(on: Fixtures.plainShape) }.map(\.name))
  func mergedCostsThePlainBackbone(_ adapter: String) throws {
    let shape = try BackboneShape(named: "vit_base_patch16_224")
    let merged = try ModelSummary(shape, adapter: AdapterCatalog.named(adapter), classes: 0, isMerged: true)
    #expect(merged.gmac == (try summary("linear").gmac))
  }

  /// What the modules add on 197 tokens, in multiply-accumulates.
  @Test(arguments: [
    ("houlsby", 24 * 197 * 2 * 768 * 8), ("adapter", 12 * 197 * 2 * 768 * 8),
    ("adaptformer", 12 * 197 * 2 * 768 * 8), ("repadapter", 24 * 197 * 768 * 12),
    ("convpass", 24 * (197 * 2 * 768 * 8 + 64 + 196 * 576)),
  ])
  func multiplyAccumulatesOfModules(_ adapter: String, _ expected: Int) throws {
    let added = try summary(adapter).gmac - summary("linear").gmac
    #expect(abs(added * 1e9 - Double(expected)) < 1)
  }

  @Test(arguments: [("linear", 0), ("ila", 768), ("alore", 0), ("vpt-deep", 0)])
  func headAndClassToken(_ adapter: String, _ classToken: Int) throws {
    let summary = try summary(adapter, classes: 80)
    #expect(summary.headParameters == 769 * 80)
    #expect(summary.trainableParameters == summary.adapterParameters + 769 * 80 + classToken)
  }

  /// Every published figure whose adapter is in the catalogue, by what it is and by the paper's printed digits.
  @Test func publishedFigures() throws {
    let figures = try PublishedFigure.all()
    let millions = [
      "head only": 1.740, "VPT-shallow": 2.124, "VPT-deep": 6.348, "parallel adapters": 3.308,
      "Convpass": 3.378,
      "ILA": 1.943, "ILA+": 2.610, "ILA++": 3.510,
    ]
    let totals = figures.filter { $0.quantity == .totalTrainableParameters }
    #expect(Set(totals.map(\.method)) == Set(millions.keys))
    for figure in totals {
      guard let computed = figure.computed else { continue }
      #expect(abs(computed - (millions[figure.method] ?? 0)) < 0.0006, "\(figure.method): \(computed)")
    }
    let counts = [
      "linear": 0, "bitfit": 102_912, "adapter": 156_768, "houlsby": 313_536, "adaptformer": 156_768,
      "lora": 294_912, "vpt-shallow": 76_800, "vpt-deep": 921_600, "ssf": 205_824, "repadapter": 239_808,
      "fact-tt": 61_440, "fact-tk": 86_528, "convpass": 327_552, "alore": 148_992, "ila": 40_496,
      "ila+": 173_856, "ila++": 354_032,
    ]
    for figure in figures where figure.quantity == .adapterParameters {
      guard let count = figure.count else { continue }
      #expect(count == (figure.settings.isEmpty ? counts[figure.adapter] : 1_189_632), "\(figure.method)")
    }
    for figure in figures {
      #expect((figure.computed != nil) == AdapterCatalog.names.contains(figure.adapter), "\(figure.method)")
      // What differs from its paper says why.
      #expect(figure.agrees != false || figure.note != nil, "\(figure.method): \(figure.computed ?? 0)")
    }
    #expect(PublishedFigure.tenDatasets.map(\.classes).reduce(0, +) == 4516)
  }

  /// Every adapter of the catalogue but the linear probe has its paper.
  @Test func everyAdapterHasItsPaper() {
    for name in AdapterCatalog.names where name != "linear" {
      #expect(
        Publication(adapter: name)?.address.hasPrefix("https://arxiv.org/abs/2") ?? false
          || name == "houlsby", "\(name)")
    }
  }
}
