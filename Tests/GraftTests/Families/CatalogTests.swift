import Foundation
import GraftSystem
import Testing

@testable import Graft

/// Every name that Graft takes beside timm's own model of that name; tools/fixtures/counts.py reads them off timm's models.
@Suite struct CatalogTests {
  private struct Counts: Decodable {
    struct Model: Decodable {
      let name: String
      let imageSize: [Int]
      let norms: [String]
      let parameters: Int
      let macs: Int
      let heads: Int
      let epsilon: Float
      let activation: String
      let pooling: String
      let tokensInFront: Int
    }
    struct Other: Decodable { let name: String }
    let family: [Model]
    let others: [Other]
  }

  private static let counts = Result {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    let url = URL(fileURLWithPath: (Fixtures.folder / "counts.json").string)
    return try decoder.decode(Counts.self, from: Data(contentsOf: url))
  }

  /// Models without a norm at the end, and those that test timm, are left out.
  private static func isTaken(_ model: Counts.Model) -> Bool {
    !model.norms.isEmpty && !model.name.hasPrefix("test_")
  }

  @Test func namesAreTimms() throws {
    let counts = try Self.counts.get()
    #expect(Set(counts.family.filter(Self.isTaken).map(\.name)) == Set(BackboneCatalog.all.map(\.name)))
    for name in counts.others.map(\.name) + counts.family.filter({ !Self.isTaken($0) }).map(\.name) {
      let error = #expect(throws: GraftError.self, "\(name)") { try BackboneCatalog.named(name) }
      guard case .unknownArchitecture(name, _, let meaning?) = error else {
        Issue.record("\(name): \(String(describing: error))")
        continue
      }
      #expect(!meaning.isEmpty)
    }
  }

  @Test func parametersAndMultiplyAccumulatesAreTimms() throws {
    for model in try Self.counts.get().family where Self.isTaken(model) {
      let shape = try BackboneShape(named: model.name)
      let vit = shape.vit
      #expect(shape.parameterCount == model.parameters, "\(model.name)")
      #expect(vit.heads == model.heads && vit.epsilon == model.epsilon, "\(model.name)")
      #expect(
        vit.activation.name == model.activation && vit.pooling.rawValue == model.pooling, "\(model.name)")
      #expect(shape.start.prefix == model.tokensInFront, "\(model.name)")
      #expect(shape.walk([]).total.frozen == model.macs, "\(model.name)")
    }
  }
}
