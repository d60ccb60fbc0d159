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
    try linear(.rows(x), weight: weight, bias: bias, variant: variant)
  }

  /// A trainable linear layer with what follows it, `drop(activation(x W^T + b)) + residual`.
  ///
  /// On a GPU one product does all of it; elsewhere each is an operation of its own.
  ///
  /// - Parameters:
  ///   - x: (..., inputs), rows that may be behind a norm.
  ///   - weight: (outputs, inputs).
  ///   - bias: (outputs).
  ///   - activation: applied to product and bias.
  ///   - dropout: probability with which an element is dropped in training.
  ///   - residual: added last; of the result's shape.
  ///   - variant: how to multiply; `nil` lets environment and device decide.
  /// - Returns: (..., outputs).
  package func linear(
    _ x: LinearInput, weight: Tensor, bias: Tensor?, activation: Activation = .none, dropout: Float = 0,
    residual: Tensor? = nil, variant: MatmulVariant? = nil
  ) throws -> Tensor {
    let context = weight.context
    let inputs = x.width
    let outputs = weight.count / inputs
    precondition(
      weight.count == outputs * inputs && weight.shape.first == outputs, "the weight has another shape")
    precondition(bias.map { $0.count == outputs } ?? true, "one bias an output")
    let variant = try MatmulVariant.choose(variant, on: context).own(on: context)
    let product = LinearProduct(
      variant: variant, rows: x.rows, outputs: outputs, inputs: inputs, on: context)
    guard product.foldsAll else {
      var y = try plain(.rows(x.tensor()), weight, bias, product)
      y = try self.dropout(self.activation(y, activation), probability: dropout)
      return try residual.map { try add($0, y) } ?? y
    }
    guard activation != .none || dropout > 0 && isTraining || residual != nil else {
      return try plain(x, weight, bias, product)
    }
    let mask = try dropoutMask(probability: dropout)
    let output = try Tensor(empty: x.shape.dropLast() + [outputs], on: context)
    let isRecorded = needsGradient(x, weight, bias)
    let keeps = isRecorded && activation != .none
    let preactivation = keeps ? try Tensor(empty: output.shape, on: context) : nil
    var epilogue = MatmulEpilogue(
      bias: bias, activation: activation, residual: residual, preactivation: preactivation)
    epilogue.mask = mask
    try product.forward(x, weight, epilogue: epilogue, into: output)
    guard isRecorded || needsGradient(residual) else { return output }
    let applied =
      keeps || mask != nil
      ? Pointwise(activation, preactivation, mask: mask, shape: output.shape, on: context) : nil
    recordFolding(output, applied, residual: residual, backward(of: product, x, weight, bias))
    return output
  }

  private func plain(_ x: LinearInput, _ weight: Tensor, _ bias: Tensor?, _ product: LinearProduct) throws
    -> Tensor
  {
    let output = try Tensor(empty: x.shape.dropLast() + [product.outputs], on: weight.context)
    try product.forward(x, weight, epilogue: .init(bias: bias), into: output)
    guard needsGradient(x, weight, bias) else { return output }
    record(output, backward(of: product, x, weight, bias))
    return output
  }

  private func backward(
    of product: LinearProduct, _ x: LinearInput, _ weight: Tensor, _ bias: Tensor?
  ) -> (Tensor, Gradients) throws -> Void {
    // Only a weight's gradient needs the input itself.
    let kept = weight.requiresGradient ? x : nil
    let bias = bias?.requiresGradient == true ? bias : nil
    return { [x = x.gradientKey] gradient, gradients in
      let windows = [weight, bias].compactMap { $0?.gradientKey.slices }
      if let kept, product.foldsAll, windows.count == (bias == nil ? 1 : 2) {
        try gradients.leaveSlices(of: windows) { target, least in
          try product.weightGradient(
            kept, gradient, at: windows[0].offset, biasAt: windows.dropFirst().first?.offset, least: least,
            in: target)
        }
      } else {
        if let kept {
          try gradients.sum(into: weight) { try product.weightGradient(kept, gradient, base: $0, into: $1) }
        }
        try gradients.addChannelSums(of: gradient, toShift: bias)
      }
      try gradients.accumulate(through: x, folds: product.foldsAll) { sum, applied in
        let result = try x.empty()
        try product.inputGradient(gradient, weight, adding: sum, through: applied, into: result)
        return result
      }
    }
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
