/// What an adapter asks of a backbone; one that is missing is the whole reason of a refusal.
public enum Need: String, Sendable, Hashable, CaseIterable {
  /// Tokens attend to one another.
  case attention
  /// Cells have neighbours.
  case grid
  /// The number of tokens may change on the way.
  case freeTokenCount = "free_token_count"
  /// All blocks have one width.
  case oneWidth = "one_width"

  /// Why a backbone without it cannot carry the adapter.
  func reason(on shape: BackboneShape) -> String {
    switch self {
    case .attention: "tokens must attend to one another, and those of \(shape.architecture.name) do not."
    case .grid: "it reads neighbouring cells, and \(shape.architecture.name) has no grid of them."
    case .freeTokenCount:
      "the number of tokens may not change: weights of \(shape.architecture.name) are tied to it."
    case .oneWidth:
      """
      its blocks have widths \(Set(shape.parts.map(\.reads)).sorted().map(String.init).joined(separator: ", ")), and \
      factors that all of them share need one.
      """
    }
  }
}
