import GraftOps

/// Scales and shifts every frozen operation's output (arXiv 2210.08823).
///
///     y = gamma * f(x) + beta
///
/// behind the patch embedding, both norms, `qkv`, `proj`, `fc1` (before its activation) and `fc2` of every block, and the
/// last norm: 205,824 on ViT-B/16. Initial values as in the official code (dongzelian/SSF): gamma N(1, 0.02), beta
/// N(0, 0.02), so the model does not start as the plain backbone.
public struct SSF: Adapter {
  /// `ssf`.
  public var name: String { "ssf" }
  /// `ssf-vtab`.
  public var presetName: String { "ssf-vtab" }
  /// No: scales and shifts are drawn.
  public var startsAsBackbone: Bool { false }
  /// Names of the settings.
  public var settingNames: [String] { [] }

  /// Creates the method; there is nothing to set.
  public init() {}

  /// Declares a scale and a shift a channel.
  public func plan(for shape: VisionTransformerShape) -> AdapterPlan {
    let operations = FrozenOperation.all(depth: shape.depth)
    var plan = AdapterPlan()
    for operation in operations {
      let width = operation.width(shape).outputs
      plan.declare("\(operation).ssf_scale", [width], .normal(mean: 1, deviation: 0.02))
      plan.declare("\(operation).ssf_shift", [width], .normal(mean: 0, deviation: 0.02))
      plan.costs.append(.init(site: .on(operation)) { tokens, _ in operation.rows(tokens: tokens) * width })
    }
    plan.join = { tensors, sites in
      for operation in operations {
        sites.join(
          SSFModule(scale: tensors["\(operation).ssf_scale"], shift: tensors["\(operation).ssf_shift"]),
          on: operation)
      }
    }
    return plan
  }
}

/// `y * gamma + beta` on an operation's output; under layer scale, on what that scales.
private struct SSFModule: OperationModule {
  let scale, shift: Tensor

  func callAsFunction(_ output: Tensor, reading input: Tensor, layerScale: Tensor?, on tape: Tape) throws
    -> Tensor
  {
    try tape.scaleShift(output, scale: scale, shift: shift, times: layerScale)
  }
}

extension SSF: MergeableAdapter {
  /// `W' = diag(gamma) W` and `b' = gamma * b + beta` for every operation.
  func merged(
    into shape: VisionTransformerShape, adapter: (String) throws -> [Float],
    backbone: (String) throws -> [Float]
  ) throws -> [String: [Float]] {
    var changed: [String: [Float]] = [:]
    for operation in FrozenOperation.all(depth: shape.depth) {
      let scale = try adapter("\(operation).ssf_scale").map(Double.init)
      let shift = try adapter("\(operation).ssf_shift").map(Double.init)
      let weight = try backbone("\(operation).weight")
      let inputs = weight.count / scale.count
      changed["\(operation).weight"] = weight.enumerated().map { Float(Double($1) * scale[$0 / inputs]) }
      changed["\(operation).bias"] = try backbone("\(operation).bias").enumerated().map {
        Float(Double($1) * scale[$0] + shift[$0])
      }
    }
    return changed
  }
}
