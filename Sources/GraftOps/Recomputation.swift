/// What a training step computes again in its backward pass instead of keeping it, from little to much.
///
/// The bits are the same; only memory and time differ.
public enum Recomputation: String, CaseIterable, Sendable, Comparable {
  /// Normalised tokens and what a module in sequence makes of them: many bytes for hardly any work.
  case norms
  /// And the hidden layer of each MLP: a third of what a step holds, for a sixth more work.
  case hidden
  /// All of each block but its input, for half as much work again.
  case blocks

  /// By the work that is done again.
  public static func < (one: Self, other: Self) -> Bool {
    allCases.firstIndex(of: one) ?? 0 < allCases.firstIndex(of: other) ?? 0
  }
}
