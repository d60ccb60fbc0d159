/// An adapter as a setting of another one.
///
/// Encoded as the adapter's settings and its name under `adapter`; a bare name stands for the default settings.
public struct HostAdapter: Sendable {
  /// The adapter.
  public var adapter: any Adapter

  /// Wraps an adapter.
  public init(_ adapter: any Adapter) { self.adapter = adapter }
}

extension HostAdapter: Hashable {
  /// Whether both are the same adapter with the same settings.
  public static func == (first: Self, second: Self) -> Bool {
    AnyHashable(first.adapter) == AnyHashable(second.adapter)
  }

  /// Feeds the adapter to a hasher.
  public func hash(into hasher: inout Hasher) { hasher.combine(AnyHashable(adapter)) }
}

extension HostAdapter: Codable {
  private enum CodingKeys: String, CodingKey { case adapter }

  /// Reads an adapter by its name.
  ///
  /// - Throws: ``GraftError/unknownAdapter(_:nearest:known:)`` or `DecodingError`.
  public init(from decoder: any Decoder) throws {
    func decoded<A: Adapter>(_: A) throws -> any Adapter { try A(from: decoder) }
    if let name = try? decoder.singleValueContainer().decode(String.self) {
      adapter = try AdapterCatalog.named(name)
    } else {
      let name = try decoder.container(keyedBy: CodingKeys.self).decode(String.self, forKey: .adapter)
      adapter = try decoded(AdapterCatalog.named(name))
    }
  }

  /// Writes the adapter's settings and its name.
  public func encode(to encoder: any Encoder) throws {
    try adapter.encode(to: encoder)
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(adapter.name, forKey: .adapter)
  }
}
