package import GraftRuntime

extension Tape {
  /// A trainable linear layer, `x W^T + b`: rank-r adapters, heads, point-wise convolutions.
  ///
  /// Gradients: of the input, `dY W`, where one is wanted; of the weight, `dY^T X`, and of the bias, the sum of dY's
  /// rows, both added to what the parameters have gathered so far.
  ///
  /// - Parameters:
  ///   - x: (..., inputs).
  ///   - weight: (outputs, inputs), any sizes; (outputs, inputs, 1, 1) makes it a point-wise convolution.
  ///   - bias: (outputs).
  /// - Returns: (..., outputs).
  /// - Throws: `RuntimeError` or ``MatmulError`` when the device fails.
  public func linear(_ x: Tensor, weight: Tensor, bias: Tensor?) throws -> Tensor {
    try linear(x, weight: weight, bias: bias, variant: nil)
  }

  /// - Parameter variant: how to multiply; `nil` lets environment and device decide. CLBlast serves large frozen
  ///   products only: here the device's own kernels take its place.
  package func linear(_ x: Tensor, weight: Tensor, bias: Tensor?, variant: MatmulVariant?) throws -> Tensor {
    let inputs = x.width
    let outputs = weight.count / inputs
    precondition(
      weight.count == outputs * inputs && weight.shape.first == outputs, "the weight has another shape")
    precondition(bias.map { $0.count == outputs } ?? true, "one bias an output")
    let variant = try MatmulVariant.choose(variant, on: x.context).own(on: x.context)
    let product = LinearProduct(variant: variant, rows: x.rows, outputs: outputs, inputs: inputs)
    let output = try Tensor(empty: x.shape.dropLast() + [outputs], on: x.context)
    try product.forward(x, weight, bias: bias, into: output)
    guard needsGradient(x, weight, bias) else { return output }
    // Only a weight's gradient needs the input itself.
    let kept = weight.requiresGradient ? x : nil
    record(output) { [x = x.gradientKey] gradient, gradients in
      if let kept {
        try gradients.sum(into: weight) { try product.weightGradient(kept, gradient, base: $0, into: $1) }
      }
      try gradients.addChannelSums(of: gradient, toShift: bias)
      try gradients.accumulate(into: x) { sum in
        let result = try x.empty()
        try product.inputGradient(gradient, weight, adding: sum, into: result)
        return result
      }
    }
    return output
  }
}

extension Gradients {
  /// Lets a reduction over tokens write where the gradient is summed: in place for a parameter, else into a new
  /// tensor.
  ///
  /// - Parameter compute: receives the sum so far and where to write the new one; both may be the same tensor.
  func sum(into tensor: Tensor, _ compute: (_ base: Tensor?, _ target: Tensor) throws -> Void)
    throws
  {
    if let target = tensor.gradientSum {
      try compute(target, target)
      return
    }
    try accumulate(into: tensor) { sum in
      let target = try Tensor(empty: tensor.shape, on: tensor.context)
      try compute(sum, target)
      return target
    }
  }
}
