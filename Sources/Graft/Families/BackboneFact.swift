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
}

extension BackboneOptions {
  /// What these options leave to be assumed.
  public var assumed: Set<BackboneFact> {
    var facts = presumed
    if activation == nil { facts.insert(.activation) }
    if heads == nil { facts.insert(.heads) }
    if epsilon == nil { facts.insert(.epsilon) }
    if normalization == nil { facts.insert(.normalization) }
    return facts
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
  /// The name of a well-known one.
  public var name: String? {
    switch self {
    case .imageNet: "imagenet"
    case .half: "half"
    case .clip: "clip"
    default: nil
    }
  }

  var values: JSONValue {
    func list(_ numbers: [Float]) -> JSONValue {
      .array(numbers.map { .number(Double($0.description) ?? Double($0)) })
    }
    return .object(["mean": list(mean), "std": list(std)])
  }
}
