import Foundation
import GraftOps
import GraftSystem
import Testing

@testable import Graft

/// A file of another library's gives that library's own features, with nothing said but what no file of the kind can tell.
@Suite(.serialized) struct DialectFeatureTests {
  /// CLIP's files do not tell which GELU they were trained with.
  private static let activations: [String: Activation] = [
    "open_clip_quickgelu": .quickGELU, "openai_clip": .quickGELU,
  ]

  private func expected(_ name: String) throws -> SafetensorsFile {
    try Fixtures.open("dialects/\(name)/expected")
  }

  /// Whose names they are, theirs is the way to another size.
  @Test(arguments: [
    ("dinov2_original", PositionResampling.bicubicOffset), ("dinov2_giant_original", .bicubicOffset),
    ("dinov2_registers_original", .bicubicAntialias), ("hf_dinov2", .bicubicHalfPixel),
    ("hf_dinov2_giant_v5", .bicubicHalfPixel), ("hf_dinov2_registers", .bicubicAntialias),
    ("hf_vit", .bicubicHalfPixel), ("hf_vit_mae", .bicubicHalfPixel),
    ("hf_deit_distilled", .bicubicHalfPixel),
    ("hf_clip", .bicubicHalfPixel), ("hf_siglip_vision", .bicubicHalfPixel), ("hf_beit", .bilinearHalfPixel),
    ("hf_beit_v5", .bilinearHalfPixel), ("beit_original", .geometric), ("beit_pretraining", .geometric),
    ("mae_pretrain", .bicubicAntialias), ("google_vit", .bilinearHalfPixel), ("open_clip", .bicubicAntialias),
  ])
  func resamplingIsTheLibrarys(_ name: String, _ resampling: PositionResampling) throws {
    let weights = try CanonicalWeights(DialectFixtures.file(name))
    let heads = try heads(expected(name))
    func reading(_ said: PositionResampling? = nil) throws -> PositionResampling {
      try BackboneReading(weights, options: .init(heads: heads, positionResampling: said)).positionResampling
    }
    #expect(try reading() == resampling)
    #expect(try reading(.bilinearAlignedCorners) == .bilinearAlignedCorners)
  }

  private func heads(_ expected: SafetensorsFile) throws -> Int? {
    let about = try JSONDecoder().decode(
      JSONValue.self, from: Data((expected.metadata["about"] ?? "{}").utf8))
    return about.objectValue?["timm"]?.objectValue?["heads"]?.intValue
  }

  @Test(arguments: DialectFixtures.names, FamilyTests.sizes)
  func featuresAreTheLibrarys(_ name: String, _ size: ImageSize) throws {
    let expected = try expected(name)
    // transformers' folders say it all themselves.
    let options =
      name.hasPrefix("hf_")
      ? BackboneOptions() : BackboneOptions(heads: try heads(expected), activation: Self.activations[name])
    let weights = try CanonicalWeights(DialectFixtures.file(name))
    let reading = try BackboneReading(weights, options: options)
    guard var vit = reading.architecture as? ViT else {
      Issue.record("\(name) is no ViT")
      return
    }
    if vit.positions == .none, !name.hasPrefix("hf_") { vit.positionGrid = 4 }
    vit.rotation = vit.rotation.map {
      $0.coordinates == .normalized ? $0 : Rotary(form: $0.form, base: $0.base, coordinates: .index(side: 4))
    }
    let backbone = try Backbone(
      vit.resized(to: size).shape(), weights: weights, file: weights, resampling: reading.positionResampling,
      on: Fixtures.context.get())
    // Of the distilled model the class token alone; of Google's files what Flax computes, which timm does not.
    let variant = name.contains("distilled") ? ".token" : name.hasPrefix("google") ? ".gelu_tanh" : ""
    let features = try expected.floats("\(size.height)x\(size.width).features\(variant)")
    let error = try relativeError(FamilyTests.features(backbone), features)
    #expect(error < 1e-5, "\(reading.dialect)")
  }
}
