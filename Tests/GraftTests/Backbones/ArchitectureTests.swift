import Foundation
import GraftSystem
import Testing

@testable import Graft

/// What `tools/fixtures/architectures.py` read off timm.
struct TimmArchitectures: Decodable {
  struct Plain: Decodable {
    let name: String
    let imageSize: ImageSize
    let patch: Int
    let width: Int
    let depth: Int
    let heads: Int
    let hiddenWidth: Int
    let layerScale: Bool
    let parameters: Int
    let tensors: String
    let normalisation: String
    let tags: [String: String]
  }
  struct Others: Decodable {
    let models: [String]
    let tensors: [String]
  }
  let plain: [Plain]
  let others: [Others]

  static let fixture = Result {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    let url = URL(fileURLWithPath: (Fixtures.folder / "architectures.json").string)
    return try decoder.decode(TimmArchitectures.self, from: Data(contentsOf: url))
  }
}

@Suite struct ArchitectureTests {
  @Test func tableIsTimms() throws {
    let plain = try TimmArchitectures.fixture.get().plain
    for expected in plain {
      let name = expected.name
      let shape = try BackboneShape(named: name)
      let vit = shape.vit
      #expect(shape.imageSize == expected.imageSize && vit.patchSize == expected.patch, "\(name)")
      #expect(vit.width == expected.width && shape.depth == expected.depth, "\(name)")
      #expect(vit.heads == expected.heads && vit.hiddenWidth == expected.hiddenWidth, "\(name)")
      #expect(vit.hasLayerScale == expected.layerScale && vit.epsilon == 1e-6, "\(name)")
      #expect(shape.normalization.name == expected.normalisation, "\(name)")
      #expect(shape.parameterCount == expected.parameters, "\(name)")
      let lines = shape.shapesByName.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)\n" }
      #expect(
        Array(lines.joined().utf8).withUnsafeBytes { hexadecimal(SHA256.hash($0)) } == expected.tensors,
        "\(name)")
      let tags = try #require(BackboneCatalog.all.first { $0.name == name }).tags.compactMapValues(\.name)
      #expect(tags == expected.tags, "\(name)")
      for (tag, normalization) in expected.tags {
        let tagged = try BackboneShape(named: "\(name).\(tag)")
        #expect(tagged.normalization.name == normalization && tagged.vit.heads == vit.heads, "\(name).\(tag)")
      }
    }
  }

  @Test(arguments: [
    ("vit_base_patch14_nonsense", "vit_base_patch14_dinov2"),
    ("VIT_BASE_PATCH16_224", "vit_base_patch16_224"),
    ("vit_base_patch16_244", "vit_base_patch16_224"), ("vit_smal_patch16_224", "vit_small_patch16_224"),
    ("vit_base_patch16_448", "vit_base_patch16_224"), ("resnet50", nil), ("", nil), (".mae", nil),
    (" vit_base_patch16_224", "vit_base_patch16_224"), ("vit_base_patch16_224_", "vit_base_patch16_224"),
  ])
  func nearestName(_ name: String, _ nearest: String?) {
    let error = #expect(throws: GraftError.self) { try BackboneShape(named: name) }
    guard case .unknownArchitecture(name, nearest, _) = error else {
      Issue.record("\(name): \(String(describing: error))")
      return
    }
    let text = error?.description ?? ""
    #expect(text.contains("graft info --backbones"))
    #expect(nearest.map { text.contains("Did you mean \"\($0)\"?") } ?? !text.contains("Did you mean"))
  }

  @Test(arguments: ["vit_base_patch16_224.mea", "vit_base_patch16_224.", "vit_base_patch16_224.dino.x"])
  func unknownTags(_ name: String) {
    let error = #expect(throws: GraftError.self) { try BackboneShape(named: name) }
    guard case .unknownWeights(_, "vit_base_patch16_224", let known) = error else {
      Issue.record("\(name): \(String(describing: error))")
      return
    }
    #expect(known.contains("mae") && error?.description.contains("augreg_in21k, ") == true)
  }

  @Test func headsAreTimms() throws {
    for entry in BackboneCatalog.all {
      guard let vit = entry.architecture as? ViT else { continue }
      // The same settings as vit_base_patch16_gap_224, but for 12 heads in place of 16.
      if entry.name.hasPrefix("vit_base_patch16_siglip_gap") { continue }
      #expect(try vit.likelyHeads() == vit.heads, "\(entry.name)")
    }
    for (width, heads) in [(1280, 16), (1408, 16), (1664, 16), (896, 14), (128, 2), (512, 8)] {
      let vit = ViT(imageSize: 16, patchSize: 8, width: width, depth: 1, heads: 1)
      #expect(try vit.likelyHeads() == heads)
    }
    #expect(throws: GraftError.self) {
      try ViT(imageSize: 16, patchSize: 8, width: 100, depth: 1, heads: 1).likelyHeads()
    }
  }

  /// A name is that of the first architecture with the same settings.
  @Test func namesOfShapes() throws {
    for entry in BackboneCatalog.all {
      let same = try BackboneCatalog.named(entry.architecture.name)
      guard let one = entry.architecture as? ViT, let two = same as? ViT else { continue }
      #expect(one.hasBlocks(of: two) && one.patchSize == two.patchSize, "\(entry.name)")
      #expect(one.positionGrid == two.positionGrid, "\(entry.name)")
    }
    #expect(
      try BackboneShape(named: "vit_small_patch16_dinov3").architecture.name == "vit_small_patch16_dinov3")
    var shape = try BackboneShape(named: "vit_base_patch16_224.mae").vit
    shape.positionGrid = 28
    #expect(shape.name == "vit_base_patch16_448")
    shape.depth = 6
    #expect(shape.name == "vit_w768_d6_patch16_448")
  }
}
