public import GraftRuntime

/// A frozen linear layer, `x W^T + b`, prepared once at load for the device that will read it.
///
/// It keeps one packed copy of the weight. A gradient of the input needs a second, packed the other way; that one is
/// made when it is first asked for, by a kernel, from the first. There is no gradient of a frozen weight.
public final class PreparedLinear {
  /// Width of the result.
  public let outputs: Int
  /// Width of what goes in.
  public let inputs: Int
  /// The device the layer was prepared for.
  public let context: Context
  /// How its products are computed.
  package let variant: MatmulVariant
  package let bias: Tensor?
  private let weight: Weight
  private var transposed: MatmulPanels?

  private enum Weight {
    /// `W^T`, (inputs, outputs).
    case panels(MatmulPanels)
    /// `W`, (outputs, inputs), as CLBlast reads it both ways.
    case rowMajor(Tensor)
  }

  /// Prepares a weight (outputs, inputs), row-major, and a bias (outputs).
  ///
  /// The weight is kept in the context's precision, rounded to nearest; the bias stays fp32.
  ///
  /// - Throws: `RuntimeError` when the device has no memory left, ``MatmulError`` when `GRAFT_MATMUL` asks for a way
  ///   to multiply that is not here, or the weight does not fit the precision.
  public convenience init(
    weight: [Float], bias: [Float]?, outputs: Int, inputs: Int, on context: Context
  ) throws {
    try self.init(weight: weight, bias: bias, outputs: outputs, inputs: inputs, on: context, variant: nil)
  }

  /// - Parameters:
  ///   - precision: how to keep the weight; `nil` takes the context's.
  ///   - variant: how to multiply; `nil` lets environment and device decide.
  package init(
    weight: [Float], bias: [Float]?, outputs: Int, inputs: Int, on context: Context,
    precision: StoragePrecision? = nil, variant: MatmulVariant?
  ) throws {
    precondition(weight.count == outputs * inputs, "the weight has another shape")
    precondition(bias == nil || bias?.count == outputs, "one bias an output")
    self.outputs = outputs
    self.inputs = inputs
    self.context = context
    self.bias = try bias.map { try Tensor($0, shape: [outputs], on: context) }
    let precision = precision ?? context.precision
    self.variant = try MatmulVariant.choose(variant, on: context, precision: precision)
    if precision == .fp16, let beyond = weight.first(where: { abs($0) > 65_504 }) {
      throw MatmulError.beyondHalf(beyond)
    }
    let matrix = try Tensor(weight, shape: [outputs, inputs], on: context)
    switch self.variant {
    case .clblast:
      guard precision == .fp32 else { throw MatmulError.anotherPrecision(self.variant, precision) }
      self.weight = .rowMajor(matrix)
    case .cpuDotProduct:
      guard precision == .bf16 else { throw MatmulError.anotherPrecision(self.variant, precision) }
      guard DotProduct.isRight(on: context) else {
        throw MatmulError.noDotProduct(device: context.traits.name)
      }
      self.weight = .panels(
        try MatmulPanels(
          matrix, inner: inputs, columns: outputs, transposed: true, precision: precision, isPaired: true))
    case .cpuRegisterTiled, .localMemoryTiled:
      self.weight = .panels(
        try MatmulPanels(matrix, inner: inputs, columns: outputs, transposed: true, precision: precision))
    }
  }

  /// Bytes it occupies on the device now.
  public var deviceBytes: Int {
    let main =
      switch weight {
      case .panels(let panels): panels.byteCount
      case .rowMajor(let matrix): 4 * matrix.count
      }
    return main + (transposed?.byteCount ?? 0) + 4 * (bias?.count ?? 0)
  }

  /// How the attention that reads its result computes: as it does itself.
  package private(set) lazy var attention: AttentionVariant? =
    variant == .cpuDotProduct && DotProduct.attendsRightly(on: context) ? .cpuDotProduct : nil

  /// What to hand it: bf16 where it would round what it reads to that, so that it is rounded as it is written.
  func reads(width: Int) -> Tensor.Element {
    variant == .cpuDotProduct && width % 2 == 0 ? .uint16 : .float32
  }

  /// `epilogue(x W^T + bias)`.
  func forward(_ x: Tensor, epilogue: MatmulEpilogue, into output: Tensor) throws {
    var epilogue = epilogue
    epilogue.bias = bias
    switch weight {
    case .panels(let panels):
      try multiply(x, panels, epilogue: epilogue, into: output)
    case .rowMajor(let matrix):
      try multiply(
        x, matrix, isTransposed: true, inner: inputs, columns: outputs, epilogue: epilogue, into: output)
    }
  }

  /// `gradient W [+ sum]`: the gradient of the input.
  func backward(_ gradient: Tensor, adding sum: Tensor?, into output: Tensor) throws {
    let epilogue = MatmulEpilogue(residual: sum)
    switch weight {
    case .panels(let panels):
      let transposed = try self.transposed ?? panels.transposed()
      self.transposed = transposed
      try multiply(gradient, transposed, epilogue: epilogue, into: output)
    case .rowMajor(let matrix):
      try multiply(
        gradient, matrix, isTransposed: false, inner: outputs, columns: inputs, epilogue: epilogue,
        into: output)
    }
  }

  private func multiply(
    _ a: Tensor, _ panels: MatmulPanels, epilogue: MatmulEpilogue, into output: Tensor
  ) throws {
    if variant != .localMemoryTiled {
      try MatmulKernels.registers(a, panels, rows: a.rows, epilogue: epilogue, into: output)
    } else {
      try MatmulKernels.local(
        a, .panels(panels), rows: a.rows, columns: panels.columns,
        inner: panels.inner,
        epilogue: epilogue, into: output)
    }
  }

  private func multiply(
    _ a: Tensor, _ matrix: Tensor, isTransposed: Bool, inner: Int, columns: Int, epilogue: MatmulEpilogue,
    into output: Tensor
  ) throws {
    #if CLBlast
      try CLBlast.multiply(
        a, matrix, isTransposed: isTransposed, rows: a.rows, columns: columns, inner: inner, into: output)
      try MatmulKernels.finish(output, columns: columns, epilogue: epilogue)
    #else
      throw MatmulError.unavailable(.clblast)
    #endif
  }
}

extension Tape {
  /// A frozen linear layer with what follows it folded into the product's last step:
  /// `activation(x W^T + b) + residual`.
  ///
  /// Nothing is kept for the gradient but the layer itself and, under an activation, its input.
  ///
  /// - Parameters:
  ///   - x: (..., inputs).
  ///   - layer: the frozen weight and bias.
  ///   - activation: applied to the product and bias.
  ///   - residual: added last; of the result's shape.
  ///   - reader: the frozen layer that alone reads the result, if there is one: then it may be kept in bf16.
  /// - Returns: (..., outputs).
  /// - Throws: `RuntimeError` or ``MatmulError`` when the device fails.
  public func linear(
    _ x: Tensor, _ layer: PreparedLinear, activation: Activation = .none, residual: Tensor? = nil,
    readBy reader: PreparedLinear? = nil
  ) throws -> Tensor {
    precondition(x.width == layer.inputs, "the input is \(x.width) wide, the layer \(layer.inputs)")
    let shape = x.shape.dropLast() + [layer.outputs]
    precondition(
      residual.map { $0.count == x.rows * layer.outputs } ?? true, "the residual has another shape")
    // Both are of one context, and so of one variant; but a case may mix them.
    let element = layer.variant == .cpuDotProduct ? reader?.reads(width: layer.outputs) ?? .float32 : .float32
    let output = try Tensor(empty: Array(shape), element: element, on: x.context)
    let keeps = activation != .none && needsGradient(x)
    let preactivation = keeps ? try Tensor(empty: output.shape, on: x.context) : nil
    try layer.forward(
      x, epilogue: .init(activation: activation, residual: residual, preactivation: preactivation),
      into: output)
    guard needsGradient(x, residual) else { return output }
    record(output) { [x = x.gradientKey, residual = residual?.gradientKey] gradient, gradients in
      // Shared, not copied: nobody changes a gradient in place.
      if let residual { try gradients.add(gradient.reshaped(residual.shape), to: residual) }
      try gradients.accumulate(into: x) { sum in
        let upstream =
          try preactivation.map {
            try Activation.backward(
              activation, preactivation: $0, gradient: gradient, as: layer.reads(width: layer.outputs))
          } ?? gradient
        let result = try x.empty()
        try layer.backward(upstream, adding: sum, into: result)
        return result
      }
    }
    return output
  }
}
