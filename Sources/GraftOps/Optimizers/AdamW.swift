import GraftRuntime
import GraftSystem

/// Adam with decoupled weight decay, as `torch.optim.AdamW` computes it.
public final class AdamW: Optimizer {
  /// What does not change from step to step.
  public struct Options: Sendable, Equatable, Codable {
    /// Decay of the running mean of gradients.
    public var beta1: Float
    /// Decay of the running mean of squared gradients.
    public var beta2: Float
    /// Added to the root of the second moment.
    public var epsilon: Float
    /// Share of a parameter, times the learning rate, that each step takes away.
    public var weightDecay: Float

    /// PyTorch's defaults.
    public init(beta1: Float = 0.9, beta2: Float = 0.999, epsilon: Float = 1e-8, weightDecay: Float = 0.01) {
      self.beta1 = beta1
      self.beta2 = beta2
      self.epsilon = epsilon
      self.weightDecay = weightDecay
    }
  }

  /// The parameters it moves.
  public let arena: ParameterArena
  /// What does not change from step to step.
  public let options: Options
  /// Steps made so far.
  public var stepCount = 0
  private let first: Tensor
  private let second: Tensor

  /// Both moments, laid out as the arena's values.
  public var state: [(name: String, tensor: Tensor)] { [("first_moment", first), ("second_moment", second)] }

  /// An optimiser that has made no step.
  ///
  /// - Throws: `RuntimeError` when the device has no memory left.
  public init(_ arena: ParameterArena, _ options: Options = Options()) throws {
    self.arena = arena
    self.options = options
    first = try Tensor.zeros(arena.values.shape, on: arena.values.context)
    second = try Tensor.zeros(arena.values.shape, on: arena.values.context)
  }

  /// Makes one step.
  ///
  /// - Throws: `RuntimeError` when the device fails.
  public func step(learningRate: Float, gradientScale: Float) throws {
    // Powers of the betas in float64: in float32 they drift over thousands of steps.
    let correction1 = 1 - pow(Double(options.beta1), Double(stepCount + 1))
    let correction2 = 1 - pow(Double(options.beta2), Double(stepCount + 1))
    let values = arena.values
    let plan = ElementwisePlan(count: values.count, on: values.context)
    values.changes += 1
    try values.context.run(
      KernelKey("optimizer", "adamw", macros: plan.macros), over: [plan.items], group: [plan.group],
      values.buffer,
      arena.gradients.buffer, first.buffer, second.buffer, values.count, plan.perGroup, options.beta1,
      options.beta2, options.epsilon, Float(1 - Double(learningRate) * Double(options.weightDecay)),
      Float(Double(learningRate) / correction1), Float(1 / correction2.squareRoot()), gradientScale)
    // A launch that is refused is no step.
    stepCount += 1
  }
}
