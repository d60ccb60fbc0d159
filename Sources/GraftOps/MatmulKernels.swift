import GraftRuntime

/// Launches of the kernels in matmul*.cl.
enum MatmulKernels {
  /// `output (m, n) = epilogue(a (m, k) * panels (k, n))` with a tile in registers.
  ///
  /// Where the panels are paired, `a` is rounded to bf16 first, if it is not bf16 already. The output may be bf16.
  static func registers(
    _ a: Tensor, _ panels: MatmulPanels, rows m: Int, epilogue: MatmulEpilogue, into output: Tensor
  ) throws {
    precondition(a.element == .float32 || panels.isPaired && panels.inner % 2 == 0, "no rows of pairs")
    let a = panels.isPaired && a.element == .float32 ? try pairs(a, rows: m, width: panels.inner) : a
    let tuning = a.context.tuning.matmul
    let tile = registerRows(for: m, most: tuning.rows)
    let kernel = KernelKey(
      "matmul", "matmul_registers",
      macros: panels.macros + [.init("ROWS", tile)]
        + (panels.isPaired ? [.init("DOT_PRODUCT", 1)] : []) + output.element.resultMacros
        + epilogue.scaleMacros)
    // Blocks of equal length, so that the last is no short one.
    let tiles = (m + tile - 1) / tile
    let most = max(2, tuning.blockBytes / (panels.steps * tile * 4))
    let blocks = (tiles + most - 1) / most
    try a.context.run(
      kernel, over: [(tiles + blocks - 1) / blocks, panels.count, blocks], group: [1, 1, 1],
      arguments: [a.buffer, panels.tensor.buffer, output.buffer] + epilogue.arguments(unused: output)
        + [m, panels.columns, panels.steps, epilogue.parts] + epilogue.scaleArguments)
  }

  /// Rows of bf16, in pairs; see Kernels/pack.cl.
  private static func pairs(_ a: Tensor, rows: Int, width: Int) throws -> Tensor {
    let pairs = try Tensor(empty: [rows, (width + 1) / 2 * 2], element: .uint16, on: a.context)
    try a.context.run(
      KernelKey("pack", "pack_pairs", macros: [.init("STORAGE", StoragePrecision.bf16.macro)]), over: [rows],
      group: [1], a.buffer, pairs.buffer, rows, width)
    return pairs
  }

  /// Rows of a register tile: the full tile, or what a small matrix needs, so that few builds serve all.
  private static func registerRows(for m: Int, most: Int) -> Int {
    [1, 2, 4, 8].first { m <= $0 && $0 < most } ?? most
  }

  /// `output (m, n) = epilogue(a (m, k) * panels (k, n))` on a GPU: a frozen weight.
  static func frozen(
    _ a: LinearInput, _ panels: MatmulPanels, rows m: Int, epilogue: MatmulEpilogue, into output: Tensor
  ) throws {
    guard
      try foldsAll(on: output.context)
        || !lanes(a.tensor(), panels, rows: m, epilogue: epilogue, into: output)
    else { return }
    try tiles(
      a, .panels(panels), rows: m, columns: panels.columns, inner: panels.inner, epilogue: epilogue,
      into: output)
  }

  /// Whether frozen products take norms in front, dropout and derivatives into their kernel.
  static func foldsAll(on context: Context) -> Bool {
    context.tuning.matmul.kernel == .tiles && tilesFold(on: context)
  }

  /// Whether the kernel of tiles can: Intel's compiler has too few registers for it, and spills.
  static func tilesFold(on context: Context) -> Bool { !context.traits.family.isIntel }

  /// The same by waves whose lanes read each other's registers.
  ///
  /// - Returns: false where the tuning wants it otherwise, or a group cannot hold a wave: nothing was done.
  private static func lanes(
    _ a: Tensor, _ panels: MatmulPanels, rows m: Int, epilogue: MatmulEpilogue, into output: Tensor
  ) throws -> Bool {
    let (context, shape) = (a.context, a.context.tuning.matmul.lanes)
    // The kernel's registers hold a panel's whole rows.
    guard context.tuning.matmul.kernel == .lanes, panels.width == 32 else { return false }
    var items = context.traits.largestGroup
    while let waves = shape.waves(rows: m, items: items, localMemory: context.traits.localMemory) {
      let kernel = KernelKey(
        "matmul_lanes", "matmul_lanes",
        macros: [
          .init("WAVE", shape.wave), .init("ROWS", shape.rows), .init("WAVES", waves),
          .init("STORAGE", panels.precision.macro), .init("PARTS", epilogue.parts),
        ] + epilogue.scaleMacros)
      items = waves * shape.wave
      guard try context.maxGroup(of: kernel) >= items else {
        items -= 1
        continue
      }
      try context.run(
        kernel, over: [panels.count * items, (m + waves * shape.rows - 1) / (waves * shape.rows)],
        group: [items, 1],
        arguments: [a.buffer, panels.tensor.buffer, output.buffer] + epilogue.arguments(unused: output)
          + [m, panels.columns, panels.inner] + epilogue.scaleArguments)
      return true
    }
    return false
  }

  /// The right operand of a product on a GPU, (k, n), as it is stored.
  enum RightOperand {
    case panels(MatmulPanels)
    case rowMajor(Tensor)
    case transposed(Tensor)

    fileprivate var tensor: Tensor {
      switch self {
      case .panels(let panels): panels.tensor
      case .rowMajor(let matrix), .transposed(let matrix): matrix
      }
    }

    /// Whether its rows begin at whole quads.
    fileprivate func isWhole(columns n: Int, alongSum: Bool) -> Bool {
      switch self {
      case .panels: false
      case .rowMajor: n % 4 == 0
      case .transposed: alongSum
      }
    }

    fileprivate var macros: [KernelKey.Macro] {
      switch self {
      case .panels(let panels): [.init("B_LAYOUT", 0)] + panels.macros
      case .rowMajor: [.init("B_LAYOUT", 1)]
      case .transposed: [.init("B_LAYOUT", 2)]
      }
    }
  }

  /// `output (m, n) = epilogue(a (m, k) * b (k, n))` on a GPU, with tiles in local memory.
  ///
  /// What a norm of the output's rows would begin with is left beside them where there is a residual: so the stream goes on.
  static func tiles(
    _ a: LinearInput, _ b: RightOperand, rows m: Int, columns n: Int, inner k: Int,
    epilogue: MatmulEpilogue = .init(), into output: Tensor
  ) throws {
    let context = output.context
    var macros = b.macros + epilogue.tileMacros
    var arguments = epilogue.tileArguments
    if case .behindNorm(let normed) = a {
      let statistics = try normed.missingStatistics()
      macros.append(.init("NORMALIZED", 1))
      if statistics != nil { macros.append(.init("KEEP_STATISTICS", 1)) }
      // Without the macro nobody writes the statistics: any buffer stands in.
      arguments += [
        normed.norm.weight.buffer, normed.norm.bias.buffer, (statistics ?? output).buffer,
        normed.chunks.buffer, normed.norm.epsilon,
      ]
    }
    let quads = Quads(a: k % 4 == 0, b: b.isWhole(columns: n, alongSum: k % 4 == 0), y: n % 4 == 0)
    macros += [.init("PARTS", epilogue.parts), .init("QUADS", quads.macro)]
    let wantsChunks =
      epilogue.residual != nil && epilogue.activation == .none && n % 4 == 0 && tilesFold(on: context)
    let (tile, kernel) = try fitting(rows: m, columns: n, on: context) { tile in
      macros + tile.macros + (wantsChunks && tile.leavesChunks ? [.init("CHUNKS", 1)] : [])
    }
    if wantsChunks, tile.leavesChunks {
      let chunks = try Tensor(empty: [3, (n + 31) / 32, m], on: context)
      output.chunks = chunks
      arguments.append(chunks.buffer)
    }
    let operands = [a.operand.buffer, b.tensor.buffer, output.buffer] + epilogue.arguments(unused: output)
    try context.run(
      kernel, over: tile.global(rows: m, columns: n), group: [tile.items, 1],
      arguments: operands + [m, n, k] + arguments)
  }

  /// The first stage of a weight's gradient on a GPU, `a^T (m, k) * b (k, n)`: each slice sums `perSlice` of the k rows.
  ///
  /// - Parameters:
  ///   - stride: elements from a slice's product in the output to the next.
  ///   - offset: of the first slice's product in the output.
  ///   - rowSumsOffset: of the sums over the first slice of a's rows, where they are wanted.
  static func slices(
    _ a: Tensor, _ b: LinearInput, rows m: Int, columns n: Int, inner k: Int, perSlice: Int, count: Int,
    stride: Int, at offset: Int = 0, rowSumsAt rowSumsOffset: Int? = nil, into output: Tensor
  ) throws {
    let context = output.context
    let operand = RightOperand.rowMajor(b.operand)
    let quads = Quads(a: m % 4 == 0, b: n % 4 == 0, y: n % 4 == 0 && stride % 4 == 0)
    var macros: [KernelKey.Macro] = operand.macros
    macros += [.init("A_TRANSPOSED", 1), .init("SLICED", 1), .init("PARTS", 0), .init("QUADS", quads.macro)]
    var arguments: [any KernelArgument] = [perSlice, stride, offset]
    if let rowSumsOffset {
      macros.append(.init("ROW_SUMS", 1))
      arguments.append(rowSumsOffset)
    }
    if case .behindNorm(let normed) = b {
      guard let statistics = normed.statistics else { preconditionFailure("the norm was never computed") }
      macros.append(.init("B_NORMALIZED", 1))
      arguments += [normed.norm.weight.buffer, normed.norm.bias.buffer, statistics.buffer]
    }
    let (tile, kernel) = try fitting(rows: m, columns: n, on: context) { macros + $0.macros }
    let operands: [any KernelArgument] = [
      a.buffer, operand.tensor.buffer, output.buffer, output.buffer, output.buffer, output.buffer, m, n, k,
    ]
    try context.run(
      kernel, over: tile.global(rows: m, columns: n) + [count], group: [tile.items, 1, 1],
      arguments: operands + arguments)
  }

  /// Rows that begin at whole quads.
  private struct Quads {
    let a, b, y: Bool

    var macro: Int { (a ? 1 : 0) + (b ? 2 : 0) + (y ? 4 : 0) }
  }

  /// The tile for a product, and its kernel; a smaller one where a kernel that needs many registers allows fewer items than
  /// the device does.
  private static func fitting(
    rows m: Int, columns n: Int, on context: Context, _ macros: (MatmulTile) -> [KernelKey.Macro]
  ) throws -> (MatmulTile, KernelKey) {
    let traits = context.traits
    func choose(items: Int) -> (MatmulTile, KernelKey) {
      let tile = MatmulTile.choose(
        rows: m, columns: n, tuning: context.tuning, items: items, localMemory: traits.localMemory)
      return (
        tile, KernelKey("matmul_tiles", "matmul_tiles", macros: macros(tile) + traits.narrowWaveMacros)
      )
    }
    var (tile, kernel) = choose(items: traits.largestGroup)
    while tile.items > 1, try context.maxGroup(of: kernel) < tile.items {
      (tile, kernel) = choose(items: tile.items / 2)
    }
    return (tile, kernel)
  }

  /// `output = epilogue(output)`, in place.
  static func finish(_ output: Tensor, columns n: Int, epilogue: MatmulEpilogue) throws {
    guard !epilogue.isEmpty else { return }
    let isCPU = output.context.traits.isCPU
    let perItem = isCPU ? 4096 : 1
    let group = isCPU ? 1 : min(64, output.context.traits.largestGroup)
    try output.context.run(
      KernelKey(
        "matmul_finish", "matmul_finish", macros: [.init("PARTS", epilogue.parts)] + epilogue.scaleMacros),
      over: [(output.count + perItem - 1) / perItem], group: [group],
      arguments: [output.buffer] + epilogue.arguments(unused: output) + [n, output.count, perItem]
        + epilogue.scaleArguments)
  }
}
