import GraftOps
import GraftSystem
import Testing

@testable import Graft

/// Adapters folded into weights of any library's names, written in those or in timm's.
@Suite(.serialized) struct MergeNamesTests {
  static let fixtures = [
    "hf_vit", "hf_vit_classifier_v5", "hf_vit_mae_pretraining", "hf_deit_distilled", "hf_dinov2_registers",
    "hf_dinov2_giant", "hf_dinov3_gated", "hf_clip_vision", "hf_siglip", "hf_beit", "eva02_original",
    "google_vit",
  ]

  /// What the merged file computes, and with what: epsilon, heads and activation, which none of its tensors tell.
  @Test(arguments: fixtures, WeightNames.allCases)
  func mergedEqualsUnmerged(_ fixture: String, _ names: WeightNames) async throws {
    let context = try Fixtures.context.get()
    var options = BackboneOptions(imageSize: 16, heads: 2)
    // Not what timm computes with, nor what the names tell.
    if fixture == "hf_clip_vision" { options.activation = .relu }
    let backbone = try Backbone(path: DialectFixtures.file(fixture).path, options: options, on: context)
    let adapter = LoRA(rank: 3, alpha: 5, targets: [.q, .v, .proj, .fc1, .fc2])
    let model = try GraftedModel(backbone, adapter: adapter, classes: GraftedModel.names)
    try model.perturb(by: 0.2)
    let images = Fixtures.noise(2, size: 16)
    let expected = try model.logits(images).flatMap { $0 }
    let plain = try GraftedModel(backbone, adapter: LinearProbe(), classes: GraftedModel.names)
    for name in ["head.weight", "head.bias"] { try plain[name].value.assign(model[name].value.floats()) }
    try #require(relativeError(plain.logits(images).flatMap { $0 }, expected) > 0.05, "it does something")
    try await Fixtures.withFolder { folder in
      try model.merge(to: folder / "m.safetensors", names: names)
      let merged = try GraftedModel(merged: folder / "m.safetensors", on: context)
      #expect(try relativeError(merged.logits(images).flatMap { $0 }, expected) < 1e-5)
      let (own, before) = (merged.backbone.shape.architecture as? ViT, backbone.shape.architecture as? ViT)
      #expect(own == before)
      #expect(merged.backbone.positionResampling == backbone.positionResampling)
      let dialect = try #require(merged.backbone.weights).dialect.name
      let isTimms = names == .timm || fixture == "google_vit"
      #expect(isTimms ? dialect.hasPrefix("timm") : dialect == backbone.weights?.dialect.name)
    }
  }

  /// Converted weights are read as what they were: of EVA-02's, positions are turned into queries and keys.
  @Test(arguments: DialectFixtures.names)
  func convertedWeightsAreTheSameModel(_ fixture: String) async throws {
    try await Fixtures.withFolder { folder in
      let (path, out) = (try DialectFixtures.file(fixture).path, folder / "timm.safetensors")
      let report = try BackboneCatalog.convert(path, to: out)
      let file = try SafetensorsFile(path: out)
      #expect(file.names.allSatisfy { !$0.hasPrefix("head") } && report.tensors == file.names.count)
      // A file that tells its heads, or has a config.json beside it, tells all that timm's names do not.
      let tellsAll = (try? BackboneCatalog.read(path)) != nil
      func settings(_ path: FilePath) throws -> ViT? {
        let guessed = BackboneOptions(heads: 2, epsilon: 1e-6, normalization: .half, activation: .gelu)
        var vit = try BackboneCatalog.read(path, options: tellsAll ? .init() : guessed).architecture as? ViT
        if !tellsAll { vit?.pooling = .mean }
        // A bias without the keys' third is a whole one where a mask made it.
        if fixture.hasPrefix("dinov3") { vit?.qkvBias = .partial }
        return vit
      }
      #expect(try settings(path) == settings(out))
    }
  }
}
