/// A trainable tensor with its gradient.
///
/// The values, gradients and optimiser moments of all parameters of a model lie in a ``ParameterArena``; a parameter
/// is a window onto it.
public final class Parameter {
  /// Name in the adapter's file, such as `blocks.3.ila.down.weight`.
  public let name: String
  /// The values.
  ///
  /// Updated in place by an optimiser.
  public let value: Tensor
  /// Where gradients are summed; kernels add to it, so that batches can be accumulated.
  package let gradient: Tensor

  package init(name: String, value: Tensor, gradient: Tensor) {
    self.name = name
    self.value = value
    self.gradient = gradient
    value.gradientKey.requiresGradient = true
    value.gradientKey.sum = gradient
  }

  /// Number of scalars.
  public var count: Int { value.count }
}
