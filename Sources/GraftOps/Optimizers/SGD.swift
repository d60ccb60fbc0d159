import GraftRuntime

/// Stochastic gradient descent with momentum, as `torch.optim.SGD` computes it (no dampening).
public final class SGD: Optimizer {
  /// What does not change from step to step.
  public struct Options: Sendable, Equatable, Codable {
    /// Share of the last step's direction that is kept.
    public var momentum: Float
    /// Whether to look ahead along the new direction.
    public var isNesterov: Bool
    /// Share of a parameter that is added to its gradient.
    public var weightDecay: Float

    /// Plain gradient descent unless told otherwise.
    public init(momentum: Float = 0, isNesterov: Bool = false, weightDecay: Float = 0) {
      self.momentum = momentum
      self.isNesterov = isNesterov
      self.weightDecay = weightDecay
    }
  }

  /// The parameters it moves.
  public let arena: ParameterArena
  /// What does not change from step to step.
  public let options: Options
  /// Steps made so far.
  public var stepCount = 0
  private let direction: Tensor

  /// The momentum, laid out as the arena's values.
  public var state: [(name: String, tensor: Tensor)] { [("momentum", direction)] }

  /// An optimiser that has made no step.
  ///
  /// - Throws: `RuntimeError` when the device has no memory left.
  public init(_ arena: ParameterArena, _ options: Options = Options()) throws {
    self.arena = arena
    self.options = options
    direction = try Tensor.zeros(arena.values.shape, on: arena.values.context)
  }

  /// Makes one step.
  ///
  /// - Throws: `RuntimeError` when the device fails.
  public func step(learningRate: Float, gradientScale: Float) throws {
    let values = arena.values
    let plan = ElementwisePlan(count: values.count, on: values.context)
    values.changes += 1
    try values.context.run(
      KernelKey("optimizer", "sgd", macros: plan.macros + (options.isNesterov ? [.init("NESTEROV", 1)] : [])),
      over: [plan.items],
      group: [plan.group], values.buffer, arena.gradients.buffer, direction.buffer, values.count,
      plan.perGroup,
      learningRate, options.momentum, options.weightDecay, gradientScale)
    // A launch that is refused is no step.
    stepCount += 1
  }
}
