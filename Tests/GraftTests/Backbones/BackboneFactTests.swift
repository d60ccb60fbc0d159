// swift-format-ignore-file: NeverForceUnwrap

import Foundation
import GraftSystem
import Testing

@testable import Graft

@Suite(.serialized) struct BackboneFactTests {
  @Test func whatIsGivenIsNotAssumed() throws {
    func assumed(_ options: BackboneOptions) throws -> Set<BackboneFact> {
      try BackboneCatalog.read(Fixtures.smallPath, options: options).assumed
    }
    // How tokens become the feature is a choice, and no guess.
    #expect(try assumed(BackboneOptions()) == [.heads, .epsilon, .normalization, .activation])
    var options = BackboneOptions(heads: 4, epsilon: 1e-5, normalization: .half)
    #expect(try assumed(options) == [.activation])
    options.presumed = [.epsilon]
    #expect(try assumed(options) == [.activation, .epsilon])
  }

  @Test func adaptersRecordWhatIsAssumed() async throws {
    try await Fixtures.withFolder { folder in
      let options = BackboneOptions(heads: 4, normalization: .half)
      let vit = try Backbone(path: Fixtures.smallPath, options: options, on: Fixtures.context.get())
      let model = try GraftedModel(vit, adapter: Fixtures.adapter("lora"), classes: GraftedModel.names)
      let images = Fixtures.noise(2)
      try model.save(to: folder)
      let settings = try AdapterFolder(path: folder).manifest.settings
      #expect(settings["backbone_assumed"] == ["activation", "epsilon"])
      #expect(settings["backbone_activation"] == "gelu")

      // Loading and saving make no knowledge of a guess.
      let again = try GraftedModel(path: folder, on: vit.context)
      #expect(again.backbone.assumed == [.activation, .epsilon])

      // A folder of a version that did not record it loads as before, and nothing counts as said.
      let path = folder / AdapterFolder.manifestName
      var lines = try text(path)
      let entries = /\n *"backbone_a[a-z]+" : (\[[^\]]*\]|"gelu"),/
      #expect(lines.matches(of: entries).count == 2)
      lines.replace(entries, with: "")
      try lines.write(toFile: path.string, atomically: true, encoding: .utf8)
      let old = try GraftedModel(path: folder, on: vit.context)
      #expect(old.backbone.assumed == [.heads, .epsilon, .normalization, .activation])
      #expect(old.backbone.shape == vit.shape)
      #expect(try old.logits(images) == model.logits(images))
    }
  }
}
