public import GraftRuntime

/// A frozen linear layer, `scale * (x W^T) + b`, prepared once at load for the device that will read it.
///
/// The scale, a factor an output, is optional: a layer scale or a frozen batch norm. It is applied in the product's last
/// step, so that the weight stays as it was stored.
///
/// It keeps one packed copy of the weight. A gradient of the input needs a second, packed the other way and with the scale
/// in it; that one is made when it is first asked for, by a kernel, from the first. There is no gradient of a frozen
/// weight.
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
  package let scale: Tensor?
  private let weight: Weight
  private var transposed: MatmulPanels?
  /// `scale * W`, where one copy without a scale would serve both ways.
  private var scaled: Tensor?

  private enum Weight {
    /// `W^T`, (inputs, outputs).
    case panels(MatmulPanels)
    /// `W`, (outputs, inputs), as CLBlast reads it both ways.
    case rowMajor(Tensor)
  }

  /// Prepares a weight (outputs, inputs), row-major, a bias (outputs) and a scale (outputs).
  ///
  /// The weight is kept in the context's precision, rounded to nearest; bias and scale stay fp32.
  ///
  /// - Throws: `RuntimeError` when the device has no memory left, ``MatmulError`` when `GRAFT_MATMUL` asks for a way
  ///   to multiply that is not here, or the weight does not fit the precision.
  public convenience init(
    weight: [Float], bias: [Float]?, scale: [Float]? = nil, outputs: Int, inputs: Int, on context: Context
  ) throws {
    try self.init(
      weight: weight, bias: bias, scale: scale, outputs: outputs, inputs: inputs, on: context, variant: nil)
  }

  /// - Parameters:
  ///   - precision: how to keep the weight; `nil` takes the context's.
  ///   - variant: how to multiply; `nil` lets environment and device decide.
  package init(
    weight: [Float], bias: [Float]?, scale: [Float]? = nil, outputs: Int, inputs: Int, on context: Context,
    precision: StoragePrecision? = nil, variant: MatmulVariant?
  ) throws {
    precondition(weight.count == outputs * inputs, "the weight has another shape")
    precondition(bias == nil || bias?.count == outputs, "one bias an output")
    precondition(scale == nil || scale?.count == outputs, "one factor an output")
    self.outputs = outputs
    self.inputs = inputs
    self.context = context
    self.bias = try bias.map { try Tensor($0, shape: [outputs], on: context) }
    self.scale = try scale.map { try Tensor($0, shape: [outputs], on: context) }
    let precision = precision ?? context.precision
    self.variant = try MatmulVariant.choose(variant, on: context, precision: precision)
    if precision == .fp16, let beyond = Self.beyondHalf(weight, scale, inputs: inputs) {
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
    case .matrixUnits:
      guard precision == .bf16 else { throw MatmulError.anotherPrecision(self.variant, precision) }
      guard let units = MatrixUnits.shape(on: context), MatrixUnits.isRight(units, on: context) else {
        throw MatmulError.noMatrixUnits(device: context.traits.name)
      }
      self.weight = .panels(
        try MatmulPanels(
          matrix, inner: inputs, columns: outputs, transposed: true, precision: precision, isPaired: true))
    case .cpuRegisterTiled, .localMemoryTiled:
      self.weight = .panels(
        try MatmulPanels(matrix, inner: inputs, columns: outputs, transposed: true, precision: precision))
    }
  }

  private init(sharing other: PreparedLinear, bias: [Float]?) throws {
    precondition(bias == nil || bias?.count == other.outputs, "one bias an output")
    (outputs, inputs, context, variant) = (other.outputs, other.inputs, other.context, other.variant)
    self.bias = try bias.map { try Tensor($0, shape: [other.outputs], on: other.context) }
    scale = nil
    weight = other.weight
  }

  /// The same weight, not kept twice, without the scale: `x W^T + b`.
  ///
  /// - Parameter bias: (outputs), of the layer without the scale.
  package func unscaled(bias: [Float]?) throws -> PreparedLinear {
    try PreparedLinear(sharing: self, bias: bias)
  }

  /// Bytes it occupies on the device now, a weight that it shares among them.
  public var deviceBytes: Int {
    let main =
      switch weight {
      case .panels(let panels): panels.byteCount
      case .rowMajor(let matrix): 4 * matrix.count
      }
    return main + (transposed?.byteCount ?? 0)
      + 4 * ((scaled?.count ?? 0) + (bias?.count ?? 0) + (scale?.count ?? 0))
  }

  /// The first weight that fp16 cannot hold, as it is or, for the gradient, scaled.
  private static func beyondHalf(_ weight: [Float], _ scale: [Float]?, inputs: Int) -> Float? {
    func isBeyond(_ value: Float) -> Bool { abs(value) > 65_504 }
    if let beyond = weight.first(where: isBeyond) { return beyond }
    guard let scale else { return nil }
    return weight.indices.lazy.map { scale[$0 / inputs] * weight[$0] }.first(where: isBeyond)
  }

  /// How the attention that reads its result computes: as it does itself.
  package private(set) lazy var attention: AttentionVariant? =
    variant == .cpuDotProduct && DotProduct.attendsRightly(on: context) ? .cpuDotProduct : nil

  /// What to hand it: bf16 where it would round what it reads to that, so that it is rounded as it is written.
  func reads(width: Int) -> Tensor.Element {
    variant.multipliesBFloats && width % 2 == 0 ? .uint16 : .float32
  }

  /// Whether its products take norms in front, dropout and derivatives in.
  var foldsAll: Bool { variant == .localMemoryTiled && MatmulKernels.foldsAll(on: context) }

  /// `epilogue(scale * (x W^T) + bias)`.
  func forward(_ x: LinearInput, epilogue: MatmulEpilogue, into output: Tensor) throws {
    var epilogue = epilogue
    epilogue.bias = bias
    epilogue.scale = scale
    switch weight {
    case .panels(let panels):
      try multiply(x, panels, epilogue: epilogue, into: output)
    case .rowMajor(let matrix):
      try multiply(
        x.tensor(), matrix, isTransposed: true, inner: inputs, columns: outputs, epilogue: epilogue,
        into: output)
    }
  }

  /// `(scale * gradient) W [+ sum]`: the gradient of the input, past what that was made by where it is given.
  func backward(
    _ gradient: Tensor, adding sum: Tensor?, through applied: Pointwise?, into output: Tensor
  ) throws {
    let epilogue = MatmulEpilogue(through: applied, residual: sum)
    switch weight {
    case .panels(let panels):
      let transposed = try self.transposed ?? panels.transposed(scale: scale)
      self.transposed = transposed
      try multiply(.rows(gradient), transposed, epilogue: epilogue, into: output)
    case .rowMajor(let matrix):
      try multiply(
        gradient, scaledRows(of: matrix), isTransposed: false, inner: outputs, columns: inputs,
        epilogue: epilogue, into: output)
    }
  }

  private func scaledRows(of matrix: Tensor) throws -> Tensor {
    guard let scale else { return matrix }
    if let scaled { return scaled }
    let result = try Tensor(empty: matrix.shape, on: context)
    let perItem = 16
    let plan = RowPlan(rows: outputs, width: inputs, on: context)
    let isShared = plan.lanes > 1
    try context.run(
      KernelKey("pack", "scale_rows", macros: plan.macros),
      over: isShared ? plan.global : [(inputs + perItem - 1) / perItem, outputs],
      group: isShared ? plan.group : [1, 1], matrix.buffer, scale.buffer, result.buffer, outputs, inputs)
    scaled = result
    return result
  }

  private func multiply(
    _ a: LinearInput, _ panels: MatmulPanels, epilogue: MatmulEpilogue, into output: Tensor
  ) throws {
    if variant == .matrixUnits {
      try MatrixUnits.multiply(a.tensor(), panels, rows: a.rows, epilogue: epilogue, into: output)
    } else if variant != .localMemoryTiled {
      try MatmulKernels.registers(a.tensor(), panels, rows: a.rows, epilogue: epilogue, into: output)
    } else {
      try MatmulKernels.frozen(a, panels, rows: a.rows, epilogue: epilogue, into: output)
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
  /// `activation(scale * (x W^T) + b) + residual`.
  ///
  /// Nothing is kept for the gradient but the layer itself and, under an activation, its input.
  ///
  /// - Parameters:
  ///   - x: (..., inputs).
  ///   - layer: the frozen weight, scale and bias.
  ///   - activation: applied to the product and bias.
  ///   - residual: added last; of the result's shape.
  ///   - reader: the frozen layer that alone reads the result, if there is one: then it may be kept in bf16.
  /// - Returns: (..., outputs).
  /// - Throws: `RuntimeError` or ``MatmulError`` when the device fails.
  public func linear(
    _ x: Tensor, _ layer: PreparedLinear, activation: Activation = .none, residual: Tensor? = nil,
    readBy reader: PreparedLinear? = nil
  ) throws -> Tensor {
    try linear(.rows(x), layer, activation: activation, residual: residual, readBy: reader)
  }

  /// The same of rows that may be behind a norm.
  package func linear(
    _ x: LinearInput, _ layer: PreparedLinear, activation: Activation = .none, residual: Tensor? = nil,
    readBy reader: PreparedLinear? = nil
  ) throws -> Tensor {
    let x = layer.foldsAll ? x : .rows(try x.tensor())
    precondition(x.width == layer.inputs, "the input is \(x.width) wide, the layer \(layer.inputs)")
    let shape = x.shape.dropLast() + [layer.outputs]
    precondition(
      residual.map { $0.count == x.rows * layer.outputs } ?? true, "the residual has another shape")
    // Both are of one context, and so of one variant; but a case may mix them.
    let element = layer.variant.multipliesBFloats ? reader?.reads(width: layer.outputs) ?? .float32 : .float32
    let output = try Tensor(empty: Array(shape), element: element, on: layer.context)
    let keeps = activation != .none && needsGradient(x)
    let preactivation = keeps ? try Tensor(empty: output.shape, on: layer.context) : nil
    try layer.forward(
      x, epilogue: .init(activation: activation, residual: residual, preactivation: preactivation),
      into: output)
    guard needsGradient(x, residual) else { return output }
    let input = x.gradientKey
    guard !layer.foldsAll else {
      let applied = keeps ? Pointwise(activation, preactivation, shape: output.shape, on: layer.context) : nil
      recordFolding(output, applied, residual: residual) { gradient, gradients in
        try gradients.accumulate(through: input, folds: true) { sum, applied in
          let result = try input.empty()
          try layer.backward(gradient, adding: sum, through: applied, into: result)
          return result
        }
      }
      return output
    }
    record(output) { [residual = residual?.gradientKey] gradient, gradients in
      // Shared, not copied: nobody changes a gradient in place.
      if let residual { try gradients.add(gradient.reshaped(residual.shape), to: residual) }
      try gradients.accumulate(into: input) { sum in
        let upstream =
          try preactivation.map {
            try Activation.backward(
              activation, preactivation: $0, gradient: gradient, as: layer.reads(width: layer.outputs))
          } ?? gradient
        let result = try input.empty()
        try layer.backward(upstream, adding: sum, through: nil, into: result)
        return result
      }
    }
    return output
  }
}
