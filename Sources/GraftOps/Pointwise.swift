import GraftRuntime

/// What a product applied to each element in its last step, `y = drop(f(x))`: a product that goes backwards applies the
/// derivative in its own last step.
struct Pointwise {
  let activation: Activation
  /// x; `nil` where f is the identity.
  let preactivation: Tensor?
  let mask: DropoutMask?
  /// Of x.
  let gradientKey: GradientKey

  init(
    _ activation: Activation, _ preactivation: Tensor?, mask: DropoutMask? = nil, shape: [Int],
    on context: Context
  ) {
    (self.activation, self.preactivation, self.mask) = (activation, preactivation, mask)
    gradientKey = GradientKey(context: context, shape: shape)
  }

  /// `drop(gradient) * f'(x)`, plus the sum so far where there is one.
  func backward(_ gradient: Tensor, addingTo sum: Tensor?) throws -> Tensor {
    guard let preactivation else {
      guard let mask else { preconditionFailure("nothing was applied") }
      return try mask.apply(to: gradient, addingTo: sum)
    }
    let dropped = try mask?.apply(to: gradient, addingTo: nil) ?? gradient
    return try Activation.backward(activation, preactivation: preactivation, gradient: dropped, addingTo: sum)
  }
}

extension Gradients {
  /// Lets an operation fold the addition into its own kernel, as ``accumulate(into:_:)`` does, and the derivative of what
  /// made its input.
  ///
  /// - Parameters:
  ///   - folds: whether its kernel can.
  ///   - compute: receives the sum so far and, if there is one to fold in, what was applied.
  func accumulate(
    through key: GradientKey, folds: Bool, _ compute: (Tensor?, Pointwise?) throws -> Tensor
  ) throws {
    guard folds, let applied = key.applied else { return try accumulate(into: key) { try compute($0, nil) } }
    try accumulate(into: applied.gradientKey) { try compute($0, applied) }
  }
}

extension Tape {
  /// Leaves the records of a product, `output = applied(product) + residual`.
  ///
  /// - Parameters:
  ///   - applied: where there is something: then products that read the output may send their gradients past it.
  ///   - backward: receives the product's gradient.
  func recordFolding(
    _ output: Tensor, _ applied: Pointwise?, residual: Tensor?,
    _ backward: @escaping (Tensor, Gradients) throws -> Void
  ) {
    let residual = residual?.gradientKey
    guard let applied else {
      return record(output) { gradient, gradients in
        // Shared, not copied: nobody changes a gradient in place.
        if let residual { try gradients.add(gradient.reshaped(residual.shape), to: residual) }
        try backward(gradient, gradients)
      }
    }
    record([applied.gradientKey]) { received, gradients in
      if let gradient = received[0] { try backward(gradient, gradients) }
    }
    if residual == nil { output.gradientKey.applied = applied }
    record(output) { gradient, gradients in
      if let residual { try gradients.add(gradient.reshaped(residual.shape), to: residual) }
      try gradients.accumulate(into: applied.gradientKey) { try applied.backward(gradient, addingTo: $0) }
    }
  }
}
