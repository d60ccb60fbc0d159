/// Element-wise non-linearities.
public enum Activation: String, Sendable, Codable {
  /// The identity.
  case none
  /// `x * Phi(x)`, exact (by erf, not tanh).
  case gelu
  /// `x * sigmoid(1.702 x)`.
  case quickGELU
  /// `max(x, 0)`.
  case relu
}
