import GraftRuntime

/// The products of a trainable linear layer of one shape.
///
/// Which kernel serves which product depends on the shape only, so that the same shapes give the same bits.
struct LinearProduct {
  let variant: MatmulVariant
  let rows: Int
  let outputs: Int
  let inputs: Int

  /// `x W^T + bias`.
  func forward(_ x: Tensor, _ weight: Tensor, bias: Tensor?, into output: Tensor) throws {
    try multiply(
      x, weight, isTransposed: true, inner: inputs, columns: outputs, epilogue: .init(bias: bias),
      into: output)
  }

  /// `gradient W [+ sum]`.
  func inputGradient(_ gradient: Tensor, _ weight: Tensor, adding sum: Tensor?, into output: Tensor) throws {
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
    if variant == .localMemoryTiled {
      try MatmulKernels.tiles(
        a, isTransposed ? .transposed(b) : .rowMajor(b), rows: rows, columns: columns, inner: inner,
        epilogue: epilogue, into: output)
    } else if columns <= 16 && inner >= 64 {
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
  func weightGradient(_ x: Tensor, _ gradient: Tensor, base: Tensor?, into target: Tensor) throws {
    // The wider operand runs along the vectors.
    let swaps = variant == .cpuRegisterTiled && outputs > inputs
    let (p, q) = swaps ? (x, gradient) : (gradient, x)
    let (height, width) = swaps ? (inputs, outputs) : (outputs, inputs)
    let isLocal = variant == .localMemoryTiled
    let tiles = isLocal ? divided(height, 64) * divided(width, 64) : divided(height, 8) * divided(width, 32)
    let perSlice = rowsOfSlice(tiles: tiles)
    let slices = divided(rows, perSlice)
    let partial = try Tensor(empty: [slices, height, width], on: x.context)
    if isLocal {
      try MatmulKernels.tiles(
        p, isTransposed: true, .rowMajor(q), rows: height, columns: width, inner: rows, perSlice: perSlice,
        into: partial)
    } else {
      try x.context.run(
        KernelKey("linear", "linear_weight_gradient"),
        over: [divided(height, 8), divided(width, 32), slices],
        group: [1, 1, 1], p.buffer, q.buffer, partial.buffer, rows, height, width, perSlice)
    }
    try reduce(
      partial, slices: slices, isTransposed: swaps, base: base, rows: outputs, columns: inputs, into: target)
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
    let wanted = variant == .localMemoryTiled ? 256 : 64
    let slices = max(1, min(divided(wanted, tiles), divided(rows, 64)))
    return divided(rows, slices)
  }

  private func divided(_ a: Int, _ b: Int) -> Int { (a + b - 1) / b }
}
