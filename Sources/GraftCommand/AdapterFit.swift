import Graft

/// Whether an adapter can be put on a backbone.
struct AdapterFit {
  let name: String
  /// What the backbone lacks; `nil` where it fits.
  let obstacle: String?

  /// Every adapter with its default settings.
  static func all(on shape: BackboneShape) throws -> [AdapterFit] {
    try AdapterCatalog.all.map { adapter in
      do {
        _ = try AdapterPlan(adapter, on: shape)
        return AdapterFit(name: adapter.name, obstacle: nil)
      } catch GraftError.adapterDoesNotFit(_, let reason) {
        return AdapterFit(name: adapter.name, obstacle: reason)
      } catch let error as GraftError {
        return AdapterFit(name: adapter.name, obstacle: "\(error)")
      }
    }
  }

  /// For people, a line each of those that do not fit.
  static func lines(_ fits: [AdapterFit]) -> String {
    let others = fits.compactMap { fit in fit.obstacle.map { "  \(fit.name): \($0)" } }
    return others.isEmpty
      ? "All adapters fit." : (["All adapters fit but these:"] + others).joined(separator: "\n")
  }

  /// What each lacks by its name, `null` where it fits.
  static func json(_ fits: [AdapterFit]) -> JSONValue {
    .object(
      Dictionary(uniqueKeysWithValues: fits.map { ($0.name, $0.obstacle.map { .string($0) } ?? .null) }))
  }
}
