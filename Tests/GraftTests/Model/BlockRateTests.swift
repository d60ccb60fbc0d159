import Foundation
import Testing

@testable import Graft

@Suite struct BlockRateTests {
  @Test func movesEvenlyFromTheFirstBlockToTheLast() {
    let rate = BlockRate(from: 0.3, to: 0.1)
    #expect(rate(0, of: 12) == 0.3 && rate(11, of: 12) == 0.1)
    // p_i = p_min + (p_max - p_min) (L - i) / (L - 1), blocks from 1.
    for i in 1...12 { #expect(abs(rate(i - 1, of: 12) - (0.1 + 0.2 * Float(12 - i) / 11)) < 1e-7) }
    #expect(BlockRate(0.2)(5, of: 12) == 0.2 && rate(0, of: 1) == 0.3)
  }

  @Test func isOneNumberOrTwo() throws {
    struct Settings: Codable, Equatable { var dropout: BlockRate }
    for (rate, text) in [(BlockRate(0.25), "0.25"), (BlockRate(from: 0.5, to: 0.25), "[0.5,0.25]")] {
      let data = try JSONEncoder().encode(Settings(dropout: rate))
      #expect(String(decoding: data, as: UTF8.self) == "{\"dropout\":\(text)}")
      #expect(try JSONDecoder().decode(Settings.self, from: data) == Settings(dropout: rate))
    }
    for text in ["[0.1]", "[1,2,3]", "\"a\"", "true"] {
      #expect(throws: DecodingError.self) {
        try JSONDecoder().decode(Settings.self, from: Data("{\"dropout\":\(text)}".utf8))
      }
    }
  }

  @Test(arguments: ["1", "-0.1", "[0.3, 1]", "[-1, 0]"])
  func adaptersRefuseWhatIsNoProbability(_ value: String) throws {
    let shape = try BackboneShape(named: "vit_base_patch16_224")
    for name in AdapterCatalog.names {
      let adapter = try AdapterCatalog.named(name)
      guard adapter.settingNames.contains("dropout") else { continue }
      let changed = try AdapterCatalog.setting("dropout", to: value, of: adapter)
      #expect(throws: GraftError.self, "\(name)") { try changed.plan(for: shape) }
    }
  }

  /// A rate of the first block alone reaches the first block alone.
  @Test(
    arguments: [
      "alore", "ila+", "ila++", "lora", "fact-tt", "fact-tk", "repadapter", "adapter", "houlsby",
      "adaptformer", "convpass",
      "vpt-deep",
    ])
  func reachesTheModules(_ name: String) throws {
    func loss(_ dropout: String) throws -> Float {
      let model = try GraftedModel.small(name, ["dropout": dropout])
      try model.perturb()
      return try model.computeGradients(Fixtures.noise(3))
    }
    let none = try loss("0")
    #expect(try loss("[0.5, 0]") != none && loss("[0, 0.5]") != none)
    #expect(try loss("[0.5, 0]") != loss("[0, 0.5]"))
  }
}
