import Testing

@testable import Graft

/// The integers and MACs of the papers, computed from the model itself.
@Suite struct CountTests {
  private func summary(_ adapter: String, size: Int = 224, classes: Int = 0) throws -> ModelSummary {
    let shape = try VisionTransformerShape(architecture: "vit_base_patch16_224").resized(to: size)
    return try ModelSummary(shape, adapter: AdapterCatalog.named(adapter), classes: classes)
  }

  @Test(arguments: [
    ("linear", 0), ("ila", 40_496), ("ila+", 173_856), ("ila++", 354_032), ("alore", 148_992),
  ])
  func adapterParameters(_ adapter: String, _ expected: Int) throws {
    #expect(try summary(adapter).adapterParameters == expected)
  }

  @Test func moduleParameters() throws {
    // One more plain module, one more down-sampling module.
    let shape = try VisionTransformerShape(architecture: "vit_base_patch16_224")
    #expect(try ILA(.ila, locations: [3]).plan(for: shape).parameterCount == 20_248)
    #expect(try ILA(.ilaPlus, locations: []).plan(for: shape).parameterCount == 12 * 13_336)
  }

  @Test(arguments: [
    ("vit_base_patch16_224", 85_798_656), ("vit_large_patch16_224", 303_301_632),
    ("vit_huge_patch14_224", 630_764_800), ("vit_small_patch14_dinov2", 22_056_192),
  ])
  func backboneParameters(_ name: String, _ expected: Int) throws {
    #expect(try VisionTransformerShape(architecture: name).parameterCount == expected)
  }

  @Test(arguments: [(224, [197, 145, 101]), (448, [785, 677, 577])])
  func tokens(_ size: Int, _ expected: [Int]) throws {
    #expect(try summary("ila", size: size).tokens == expected)
  }

  @Test(arguments: [
    ("linear", 224, 17.56), ("linear", 448, 78.49), ("ila", 224, 13.09), ("ila", 448, 66.86),
    ("ila+", 224, 13.11), ("ila+", 448, 66.95), ("ila++", 224, 13.14), ("ila++", 448, 67.06),
  ])
  func multiplyAccumulates(_ adapter: String, _ size: Int, _ expected: Double) throws {
    #expect(abs(try summary(adapter, size: size).gmac - expected) < 0.005)
  }

  @Test func mergedALoRECostsThePlainBackbone() throws {
    let shape = try VisionTransformerShape(architecture: "vit_base_patch16_224")
    let merged = try ModelSummary(shape, adapter: ALoRE(), classes: 0, isMerged: true)
    #expect(merged.gmac == (try summary("linear").gmac))
  }

  @Test(arguments: [("linear", 0), ("ila", 768), ("alore", 0)])
  func headAndClassToken(_ adapter: String, _ classToken: Int) throws {
    let summary = try summary(adapter, classes: 80)
    #expect(summary.headParameters == 769 * 80)
    #expect(summary.trainableParameters == summary.adapterParameters + 769 * 80 + classToken)
  }

  /// "Total trainable parameters" of the ILA paper's table: five times the mean over its ten data sets.
  @Test(arguments: [("linear", 1.740), ("ila", 1.943), ("ila+", 2.610), ("ila++", 3.510)])
  func totalTrainableParametersOfThePaper(_ adapter: String, _ millions: Double) throws {
    let classes = [80, 198, 198, 198, 198, 198, 198, 1110, 1938, 200]
    let total = try classes.map { try summary(adapter, classes: $0).trainableParameters }.reduce(0, +)
    let probe = adapter == "linear" ? 768 * 10 : 0  // the paper's probe trains the class token too
    #expect(abs(Double(total + probe) * 5 / 10 / 1e6 - millions) < 0.0006)
  }
}
