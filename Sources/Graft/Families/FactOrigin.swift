/// Who says what of a backbone stands in none of its tensors; the strongest first.
public enum FactOrigin: String, Codable, Sendable, CaseIterable {
  /// Whoever loads it: an option of the command, or ``BackboneOptions``.
  case flag
  /// The folder of an adapter that was trained on it.
  case adapter = "adapter_config.json"
  /// How pictures are prepared, in a file beside the weights, as transformers writes it.
  case preprocessor = "preprocessor_config.json"
  /// A file beside the weights, timm's or transformers'.
  case configuration = "config.json"
  /// The name of an architecture.
  case name
  /// What is there, and of which shapes.
  case tensors
  /// The library or author whose names the weights have.
  case dialect
  /// What is usual.
  case usual = "default"

  /// Whether it is a guess that this very file may belie.
  public var isAssumed: Bool { self == .dialect || self == .usual }
}
