/// An architecture in a file: its settings and, where that is not `vit`, its family.
struct StoredArchitecture: Codable, Sendable, Hashable {
  let architecture: any Architecture

  private enum CodingKeys: String, CodingKey { case family }

  init(_ architecture: any Architecture) { self.architecture = architecture }

  init(from decoder: any Decoder) throws {
    let family = try decoder.container(keyedBy: CodingKeys.self).decodeIfPresent(String.self, forKey: .family)
    func decoded<A: Architecture>(_ type: A.Type) throws -> any Architecture { try A(from: decoder) }
    guard let type = BackboneCatalog.families.first(where: { $0.family == family ?? ViT.family }) else {
      throw DecodingError.dataCorrupted(
        .init(codingPath: decoder.codingPath, debugDescription: "no family of backbones is called that"))
    }
    architecture = try decoded(type)
  }

  func encode(to encoder: any Encoder) throws {
    try architecture.encode(to: encoder)
    let family = type(of: architecture).family
    guard family != ViT.family else { return }
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(family, forKey: .family)
  }

  static func == (first: Self, second: Self) -> Bool {
    AnyHashable(first.architecture) == AnyHashable(second.architecture)
  }

  func hash(into hasher: inout Hasher) { hasher.combine(AnyHashable(architecture)) }
}
