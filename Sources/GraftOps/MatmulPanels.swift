import GraftRuntime

/// A matrix (inner, columns) on the device, cut into zero-padded strips of 32 or 16 columns.
///
/// A product with it on the right reads the strips in order; see Kernels/pack.cl.
struct MatmulPanels {
  /// Columns of a panel: those of a register tile on a CPU, whole cache lines on others.
  let width: Int
  let precision: StoragePrecision
  /// Rows lie in pairs, for the dot products of pairs.
  let isPaired: Bool
  let inner: Int
  let columns: Int
  let tensor: Tensor

  var count: Int { (columns + width - 1) / width }

  /// Steps of a sum: rows, or pairs of them.
  var steps: Int { isPaired ? (inner + 1) / 2 : inner }

  private init(
    empty inner: Int, _ columns: Int, _ precision: StoragePrecision, isPaired: Bool, on context: Context
  ) throws {
    let width = context.tuning.matmul.panel
    self.width = width
    self.precision = precision
    self.isPaired = isPaired
    self.inner = inner
    self.columns = columns
    tensor = try Tensor(
      empty: [(columns + width - 1) / width, isPaired ? (inner + 1) / 2 * 2 : inner, width],
      element: precision == .fp32 ? .float32 : .uint16,
      on: context)
  }

  /// Packs a row-major matrix (inner, columns), or, transposed, one of (columns, inner).
  init(
    _ matrix: Tensor, inner: Int, columns: Int, transposed: Bool, precision: StoragePrecision = .fp32,
    isPaired: Bool = false
  ) throws {
    precondition(matrix.count == inner * columns, "the matrix has another shape")
    try self.init(empty: inner, columns, precision, isPaired: isPaired, on: matrix.context)
    let (innerStride, columnStride) = transposed ? (1, inner) : (columns, 1)
    try launch("pack_panels", [], matrix, tail: [innerStride, columnStride])
  }

  /// The panels of the transposed matrix, whose rows are multiplied by `scale` (columns), if there is one.
  func transposed(scale: Tensor? = nil) throws -> MatmulPanels {
    let result = try MatmulPanels(
      empty: columns, inner, precision, isPaired: isPaired, on: tensor.context)
    let macros: [KernelKey.Macro] = scale == nil ? [] : [.init("SCALE", 1)]
    try result.launch("pack_transposed", macros, tensor, tail: scale.map { [$0.buffer] } ?? [])
    return result
  }

  /// Bytes on the device.
  var byteCount: Int { tensor.count * tensor.element.byteCount }

  /// What kernels that read panels must be built with.
  var macros: [KernelKey.Macro] { [.init("PANEL", width), .init("STORAGE", precision.macro)] }

  private func launch(
    _ function: String, _ more: [KernelKey.Macro], _ source: Tensor, tail: [any KernelArgument]
  ) throws {
    let rowsOfItem = 16
    let plan = TilePlan(on: tensor.context)
    let isTiled = plan.side > 1
    try tensor.context.run(
      KernelKey(
        "pack", function, macros: plan.macros + macros + (isPaired ? [.init("PAIRED", 1)] : []) + more),
      over: isTiled
        ? [plan.tiles(inner) * plan.side, plan.tiles(count * width) * plan.teams]
        : [(inner + rowsOfItem - 1) / rowsOfItem, count],
      group: [plan.side, plan.teams],
      arguments: [source.buffer, tensor.buffer, inner, columns] + tail)
  }
}
