/// Moves the parameters of an arena against their gradients.
public protocol Optimizer: AnyObject {
  /// The parameters it moves.
  var arena: ParameterArena { get }
  /// Steps made so far; set it, and write ``state``, to resume.
  var stepCount: Int { get set }
  /// What it remembers between steps, each laid out as the arena's values.
  var state: [(name: String, tensor: Tensor)] { get }

  /// Makes one step.
  ///
  /// - Parameters:
  ///   - learningRate: of this step.
  ///   - gradientScale: what the gradients are multiplied by first; one over the number of accumulated batches.
  /// - Throws: `RuntimeError` when the device fails.
  func step(learningRate: Float, gradientScale: Float) throws
}

extension Optimizer {
  /// Makes one step with the gradients as they are.
  ///
  /// - Throws: `RuntimeError` when the device fails.
  public func step(learningRate: Float) throws { try step(learningRate: learningRate, gradientScale: 1) }
}
