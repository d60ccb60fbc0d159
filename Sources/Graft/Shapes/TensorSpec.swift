/// A tensor of a backbone under its canonical name.
public struct TensorSpec: Sendable, Hashable {
  /// What a tensor is for, which tells how one without a file starts.
  public enum Purpose: Sendable, Hashable {
    /// Weights of products, tokens and tables.
    case weight
    /// Factors around 1: a norm's, a layer scale's.
    case scale
    /// Shifts around 0.
    case bias
  }

  /// timm's name.
  public let name: String
  /// Its dimensions, outermost first.
  public let shape: [Int]
  /// What it is for.
  public let purpose: Purpose
  private let learned: Int?

  /// Creates the description of a tensor; all its elements are parameters unless a smaller number is said.
  public init(_ name: String, _ shape: [Int], _ purpose: Purpose = .weight, parameters: Int? = nil) {
    self.name = name
    self.shape = shape
    self.purpose = purpose
    learned = parameters
  }

  /// Scalars that are learned: fewer than elements where a part is zero by construction, as the keys' bias of BEiT.
  public var parameters: Int { learned ?? shape.reduce(1, *) }
}
