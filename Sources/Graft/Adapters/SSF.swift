import GraftOps

/// Scales and shifts every frozen operation's output (arXiv 2210.08823).
///
///     y = gamma * f(x) + beta
///
/// behind the patch embedding, both norms, `qkv`, `proj`, `fc1` (before its activation) and `fc2` of every block, and the
/// last norm: 205,824 on ViT-B/16. Where a file has no bias for an operation, or none for the keys, nothing is shifted, so that
/// the method always merges. Initial values as in the official code (dongzelian/SSF): gamma N(1, 0.02), beta
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
  public func plan(for shape: BackboneShape) -> AdapterPlan {
    var plan = AdapterPlan()
    for operation in shape.operations {
      let (scale, shift, width) = ("\(operation).ssf_scale", "\(operation).ssf_shift", operation.outputs)
      plan.declare(scale, [width], .normal(mean: 1, deviation: 0.02))
      // Without a bias in the file a shift could not be written back: there the scale alone is trained.
      let shifts = ChannelShift.count(operation)
      if let shifts { plan.declare(shift, [shifts], .normal(mean: 0, deviation: 0.02)) }
      plan.join(
        .on(operation.id), macs: { tokens, _ in operation.rows(of: tokens) * width },
        folds: [
          // W' = diag(gamma) W and b' = gamma * b + beta.
          Fold(into: operation, changesBias: shifts != nil, keepsKeys: true) { layer, trained in
            let gamma = try trained(scale)
            try layer.changeWeight { weight in
              let inputs = weight.count / width
              for index in weight.indices { weight[index] *= gamma[index / inputs] }
            }
            guard shifts != nil else { return }
            let beta = ChannelShift.full(try trained(shift), of: operation)
            try layer.changeBias { bias in
              for index in bias.indices { bias[index] = bias[index] * gamma[index] + beta[index] }
            }
          }
        ]
      ) { tensors in
        SSFModule(
          scale: tensors[scale],
          shift: try shifts.map { _ in try ChannelShift(tensors[shift], of: operation) })
      }
    }
    return plan
  }
}

/// `y * gamma + beta` on an operation's output.
private struct SSFModule: OperationModule {
  let scale: Tensor
  let shift: ChannelShift?

  func callAsFunction(_ output: Tensor, reading input: LinearInput, on tape: Tape) throws -> Tensor {
    try tape.scaleShift(output, scale: scale, shift: shift?(on: tape))
  }
}
