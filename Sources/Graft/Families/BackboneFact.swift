public import GraftOps

/// What computes with a backbone's weights and stands in none of its tensors.
///
/// A wrong guess costs accuracy without an error, so what nobody has said is printed and recorded as assumed.
public enum BackboneFact: String, CaseIterable, Codable, Sendable {
  /// Attention heads.
  case heads
  /// What is added to the variance in layer normalisation.
  case epsilon
  /// What pixels are scaled by.
  case normalization
  /// What stands between the two layers of an MLP.
  case activation
  /// How tokens become the feature.
  case pooling
  /// What the longest wave length of rotary positions follows from.
  case rotationBase = "rotation_base"
  /// Cells a side of the grid that rotary positions were made for, where they count cells.
  case rotationSide = "rotation_side"
  /// How the stored position embedding is brought to another image size.
  case positionResampling = "position_resampling"

  /// Whether a wrong guess spoils what the weights compute; the others change which feature is taken, or are used at other
  /// image sizes alone.
  var isEssential: Bool {
    switch self {
    case .heads, .epsilon, .normalization, .activation: true
    case .pooling, .rotationBase, .rotationSide, .positionResampling: false
    }
  }
}

extension Activation {
  /// The activation of a ``name``.
  public init?(named name: String) {
    let all: [Activation] = [.none, .gelu, .geluTanh, .quickGELU, .relu, .silu]
    guard let activation = all.first(where: { $0.name == name }) else { return nil }
    self = activation
  }

  /// The name in files and on the command line.
  public var name: String {
    switch self {
    case .none: "none"
    case .gelu: "gelu"
    case .geluTanh: "gelu_tanh"
    case .quickGELU: "quick_gelu"
    case .relu: "relu"
    case .silu: "silu"
    }
  }
}

extension Normalization {
  private static let wellKnown: [String: Normalization] = [
    "imagenet": .imageNet, "half": .half, "clip": .clip,
  ]

  /// A well-known one by its ``name``.
  public init?(named name: String) {
    guard let normalization = Self.wellKnown[name] else { return nil }
    self = normalization
  }

  /// The name of a well-known one.
  public var name: String? { Self.wellKnown.first { $0.value == self }?.key }

  var values: JSONValue {
    func list(_ numbers: [Float]) -> JSONValue {
      .array(numbers.map { .number(Double($0.description) ?? Double($0)) })
    }
    return .object(["mean": list(mean), "std": list(std)])
  }
}
