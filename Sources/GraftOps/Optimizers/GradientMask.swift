import GraftRuntime

/// Sets random elements of gradients to zero.
package enum GradientMask {
  /// Multiplies each gradient element of the first parameters by an independent Bernoulli(1 - probability) sample,
  /// without rescaling.
  ///
  /// The mask follows from the seed and the element's place in the arena alone. Source: the backward sparsity of
  /// Dyn-Adapter (arXiv 2407.14302).
  ///
  /// - Parameters:
  ///   - arena: whose gradients.
  ///   - count: the first so many parameters in the order of their declaration; the others keep their gradients.
  ///   - probability: that an element is dropped, in [0, 1).
  ///   - seed: of the step.
  /// - Throws: `OperationError.dropoutProbability`, or `RuntimeError` when the device fails.
  package static func apply(
    to arena: ParameterArena, first count: Int, probability: Float, seed: UInt64
  ) throws {
    guard probability >= 0, probability < 1 else { throw OperationError.dropoutProbability(probability) }
    let elements = arena.elements(ofFirst: count)
    guard probability > 0, elements > 0 else { return }
    let (gradients, context) = (arena.gradients, arena.gradients.context)
    let plan = ElementwisePlan(count: elements, on: context)
    // A tape's random numbers count from 1: no dropout of the step shares this key.
    let mask = DropoutMask(
      key: (UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32), 0),
      probability: probability)
    try context.run(
      KernelKey("optimizer", "mask_gradients", macros: plan.macros), over: [plan.items], group: [plan.group],
      gradients.buffer,
      mask.key.0, mask.key.1, mask.key.2, mask.threshold, elements, plan.perGroup)
  }
}
