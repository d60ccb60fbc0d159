import Foundation
import GraftSystem
import Testing

@testable import Graft

/// Folders say what the first format cannot, and only then.
@Suite(.serialized) struct Format2Tests {
  private func saved(_ name: String, to folder: FilePath) throws -> GraftedModel {
    let backbone = try Backbone(
      path: Fixtures.folder / "dialects" / name, on: Fixtures.context.get())
    let model = try GraftedModel(backbone, adapter: Fixtures.adapter("lora"), classes: GraftedModel.names)
    try model.save(to: folder)
    return model
  }

  @Test func settingsAreWrittenWhereTheFirstFormatHasNoWords() async throws {
    for name in ["hf_dinov3", "hf_siglip_vision", "hf_beit", "hf_dinov2_registers", "hf_clip_vision"] {
      try await Fixtures.withFolder { folder in
        let model = try saved(name, to: folder)
        let manifest = try AdapterFolder(path: folder).manifest
        #expect(manifest.formatVersion == 2 && manifest.backbone.family == "vit")
        #expect(manifest.backbone.dialect == model.backbone.reading?.dialect)
        let again = try GraftedModel(path: folder, on: model.backbone.context)
        #expect(again.backbone.shape == model.backbone.shape)
        let images = Fixtures.noise(2, size: model.backbone.shape.imageSize)
        #expect(try again.logits(images) == model.logits(images), "\(name)")
      }
    }
  }

  /// A folder that says other settings than the backbone has is no pair with it.
  @Test func otherSettingsAreRefused() async throws {
    try await Fixtures.withFolder { folder in
      let model = try saved("hf_dinov3", to: folder)
      let path = folder / AdapterFolder.manifestName
      let text = try String(decoding: RegularFile.read(path, atMost: 1 << 20), as: UTF8.self)
      for (old, new, words) in [
        (#""registers" : 4"#, #""registers" : 3"#, "differs in registers"),
        (#""family" : "vit""#, #""family" : "swim""#, "backbone.family is swim, and the backbone"),
        (#""backbone_heads" : 2"#, #""backbone_heads" : "two""#, "heads"),
      ] {
        #expect(text.contains(old))
        try AtomicFile.write(Array(text.replacing(old, with: new).utf8), to: path)
        do {
          _ = try GraftedModel(path: folder, on: model.backbone.context)
          Issue.record("\(new) was taken")
        } catch {
          #expect("\(error)".contains(words), "\(error)")
        }
      }
    }
  }

  @Test func plainModelsStayInTheFirst() async throws {
    try await Fixtures.withFolder { folder in
      let model = try GraftedModel(
        Fixtures.smallViT(), adapter: Fixtures.adapter("lora"), classes: GraftedModel.names)
      try model.save(to: folder)
      let manifest = try AdapterFolder(path: folder).manifest
      #expect(manifest.formatVersion == 1)
      #expect(
        manifest.backbone.family == nil && manifest.backbone.settings == nil
          && manifest.backbone.dialect == nil)
    }
  }
}
