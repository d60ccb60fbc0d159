import GraftRuntime

/// The products of a trainable linear layer of one shape.
///
/// Which kernel serves which product depends on the shape only, so that the same shapes give the same bits.
struct LinearProduct {
  let variant: MatmulVariant
  let rows: Int
  let outputs: Int
  let inputs: Int
  /// Whether its kernels take norms in front, what follows and derivatives in.
  let foldsAll: Bool

  init(variant: MatmulVariant, rows: Int, outputs: Int, inputs: Int, on context: Context) {
    (self.variant, self.rows, self.outputs, self.inputs) = (variant, rows, outputs, inputs)
    foldsAll = variant == .localMemoryTiled && MatmulKernels.tilesFold(on: context)
  }

  private var isTiled: Bool { variant == .localMemoryTiled }

  /// `epilogue(x W^T)`; of what an epilogue can be, a bias alone where not all is folded in.
  func forward(_ x: LinearInput, _ weight: Tensor, epilogue: MatmulEpilogue, into output: Tensor) throws {
    guard !isTiled else {
      return try MatmulKernels.tiles(
        x, .transposed(weight), rows: rows, columns: outputs, inner: inputs, epilogue: epilogue, into: output)
    }
    try multiply(
      x.tensor(), weight, isTransposed: true, inner: inputs, columns: outputs, epilogue: epilogue,
      into: output)
  }

  /// `gradient W [+ sum]`, past what the input was made by where that is given.
  func inputGradient(
    _ gradient: Tensor, _ weight: Tensor, adding sum: Tensor?, through applied: Pointwise?,
    into output: Tensor
  ) throws {
    guard !isTiled else {
      return try MatmulKernels.tiles(
        .rows(gradient), .rowMajor(weight), rows: rows, columns: inputs, inner: outputs,
        epilogue: .init(through: applied, residual: sum), into: output)
    }
    try multiply(
      gradient, weight, isTransposed: false, inner: outputs, columns: inputs, epilogue: .init(residual: sum),
      into: output)
  }

  /// `output (rows, columns) = epilogue(a (rows, inner) * b)`, `b` stored (inner, columns), or (columns, inner) when
  /// transposed.
  private func multiply(
    _ a: Tensor, _ b: Tensor, isTransposed: Bool, inner: Int, columns: Int, epilogue: MatmulEpilogue,
    into output: Tensor
  ) throws {
    if columns <= 16 && inner >= 64 {
      let matrix = isTransposed ? b : try transposeMatrices(b.reshaped([1, inner, columns]))
      try narrow(a, matrix, inner: inner, columns: columns, epilogue: epilogue, into: output)
    } else {
      let panels = try MatmulPanels(b, inner: inner, columns: columns, transposed: isTransposed)
      try MatmulKernels.registers(a, panels, rows: rows, epilogue: epilogue, into: output)
    }
  }

  private func narrow(
    _ a: Tensor, _ b: Tensor, inner: Int, columns: Int, epilogue: MatmulEpilogue, into output: Tensor
  ) throws {
    let perItem = 16
    try a.context.run(
      KernelKey("linear", "linear_narrow", ["PER_ITEM": perItem]), over: [(rows + perItem - 1) / perItem],
      group: [1],
      a.buffer, b.buffer, output.buffer, (epilogue.bias ?? output).buffer,
      (epilogue.residual ?? output).buffer,
      rows, columns, inner, epilogue.parts)
  }

  /// `base + gradient^T x`, (outputs, inputs): slices of the rows first, then their sum in order.
  func weightGradient(_ x: LinearInput, _ gradient: Tensor, base: Tensor?, into target: Tensor) throws {
    // The wider operand runs along the vectors.
    let swaps = variant == .cpuRegisterTiled && outputs > inputs
    let (height, width) = swaps ? (inputs, outputs) : (outputs, inputs)
    let tiles = isTiled ? divided(height, 64) * divided(width, 64) : divided(height, 8) * divided(width, 32)
    let perSlice = rowsOfSlice(tiles: tiles)
    let slices = divided(rows, perSlice)
    let partial = try Tensor(empty: [slices, height, width], on: gradient.context)
    if isTiled {
      try MatmulKernels.slices(
        gradient, x, rows: height, columns: width, inner: rows, perSlice: perSlice, count: slices,
        stride: height * width, into: partial)
    } else {
      let x = try x.tensor()
      let (p, q) = swaps ? (x, gradient) : (gradient, x)
      try x.context.run(
        KernelKey("linear", "linear_weight_gradient"),
        over: [divided(height, 8), divided(width, 32), slices],
        group: [1, 1, 1], p.buffer, q.buffer, partial.buffer, rows, height, width, perSlice)
    }
    try reduce(
      partial, slices: slices, isTransposed: swaps, base: base, rows: outputs, columns: inputs, into: target)
  }

  /// The same in slices that are added up later, with the bias's gradient, the sums of the gradient's rows.
  ///
  /// - Parameters:
  ///   - offset: of the weight in a slice.
  ///   - biasOffset: of the bias, where its gradient is wanted.
  ///   - least: slices that must be written; those without rows are zero.
  ///   - target: (slices, elements of a slice).
  /// - Returns: slices that may hold something.
  func weightGradient(
    _ x: LinearInput, _ gradient: Tensor, at offset: Int, biasAt biasOffset: Int?, least: Int,
    in target: Tensor
  ) throws -> Int {
    let perSlice = rowsOfSlice(tiles: divided(outputs, 64) * divided(inputs, 64))
    let slices = divided(rows, perSlice)
    try MatmulKernels.slices(
      gradient, x, rows: outputs, columns: inputs, inner: rows, perSlice: perSlice,
      count: max(slices, least), stride: target.width, at: offset, rowSumsAt: biasOffset, into: target)
    return slices
  }

  private func reduce(
    _ partial: Tensor, slices: Int, isTransposed: Bool, base: Tensor?, rows: Int, columns: Int,
    into target: Tensor
  ) throws {
    let isCPU = partial.context.traits.isCPU
    let perItem = isCPU ? 1024 : 1
    let items = divided(rows * columns, perItem)
    let group = isCPU ? 1 : min(64, partial.context.traits.maxWorkGroupSize)
    try partial.context.run(
      KernelKey("linear", "linear_reduce"), over: [items], group: [group], partial.buffer,
      (base ?? target).buffer, target.buffer, rows, columns, slices, perItem, isTransposed ? 1 : 0,
      base == nil ? 0 : 1)
  }

  /// Rows of a slice: enough slices to occupy the device beside the tiles, none shorter than 64 rows.
  private func rowsOfSlice(tiles: Int) -> Int {
    // A fixed target, not the device's number of units: the same bits wherever the same kernels run.
    let wanted = isTiled ? min(GradientSlices.most, divided(256, tiles)) : divided(64, tiles)
    let perSlice = divided(rows, max(1, min(wanted, divided(rows, 64))))
    return isTiled ? divided(perSlice, 8) * 8 : perSlice
  }

  private func divided(_ a: Int, _ b: Int) -> Int { (a + b - 1) / b }
}
