package import GraftRuntime

/// What the backward pass knows a tensor by, without its memory.
///
/// A record that only passes a gradient on to an input keeps the input's key and lets the activation go: so a frozen
/// linear layer keeps nothing but its weight.
package final class GradientKey {
  /// The tensor's device.
  package let context: Context
  /// The tensor's shape.
  package let shape: [Int]
  /// True for a trainable parameter and for whatever was computed from one.
  package internal(set) var requiresGradient = false
  /// Where the gradient of a trainable parameter is summed; `nil` for everything else.
  package internal(set) var sum: Tensor?
  /// Where slices of the gradient of a small parameter are left; `nil` where it is summed at once.
  var slices: GradientSlices.Window?
  /// What the tensor was made by, where a product that reads it may send its gradient past that; see ``Pointwise``.
  var applied: Pointwise?

  init(context: Context, shape: [Int]) {
    self.context = context
    self.shape = shape
  }

  /// A tensor of that shape with unspecified contents, for the gradient.
  package func empty() throws -> Tensor { try Tensor(empty: shape, on: context) }
}
