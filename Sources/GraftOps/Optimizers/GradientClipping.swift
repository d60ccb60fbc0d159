import GraftRuntime

/// Limits the global norm of gradients.
public enum GradientClipping {
  /// Scales all gradients by `min(1, maxNorm / (norm + 1e-6))`, as `torch.nn.utils.clip_grad_norm_`, without waiting
  /// for the device.
  ///
  /// Where the norm is not finite, what is NaN or infinite becomes NaN and all else zero.
  ///
  /// - Returns: the norm before clipping, as a tensor of one element that can be read later.
  /// - Throws: `RuntimeError` when the device fails.
  public static func clip(_ arena: ParameterArena, to maxNorm: Float) throws -> Tensor {
    let gradients = arena.gradients
    let context = gradients.context
    let (norm, factor) = try measure(gradients, maxNorm)
    let plan = ElementwisePlan(count: gradients.count, on: context)
    try context.run(
      KernelKey("optimizer", "scale_by", macros: plan.macros), over: [plan.items], group: [plan.group],
      gradients.buffer,
      factor.buffer, gradients.count, plan.perGroup)
    return norm
  }

  /// The norm of all gradients, as a tensor of one element that can be read later.
  ///
  /// - Throws: `RuntimeError` when the device fails.
  package static func norm(_ arena: ParameterArena) throws -> Tensor {
    try measure(arena.gradients, .infinity).norm
  }

  private static func measure(_ gradients: Tensor, _ maxNorm: Float) throws -> (norm: Tensor, factor: Tensor)
  {
    let context = gradients.context
    let partials = try Reduction.squarePartials(of: gradients)
    let norm = try Tensor(empty: [1], on: context)
    let factor = try Tensor(empty: [1], on: context)
    let plan = ElementwisePlan(count: partials.count, on: context)
    // One group, whose lanes share the partial sums.
    try context.run(
      KernelKey("optimizer", "clip_factor", macros: plan.macros), over: [plan.group], group: [plan.group],
      partials.buffer, norm.buffer,
      factor.buffer,
      partials.count, maxNorm)
    return (norm, factor)
  }
}
