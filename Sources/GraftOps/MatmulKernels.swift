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
    _ a: Tensor, _ panels: MatmulPanels, rows m: Int, epilogue: MatmulEpilogue, into output: Tensor
  ) throws {
    guard try !lanes(a, panels, rows: m, epilogue: epilogue, into: output) else { return }
    try tiles(
      a, .panels(panels), rows: m, columns: panels.columns, inner: panels.inner, epilogue: epilogue,
      into: output)
  }

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

    fileprivate var macros: [KernelKey.Macro] {
      switch self {
      case .panels(let panels): [.init("B_LAYOUT", 0)] + panels.macros
      case .rowMajor: [.init("B_LAYOUT", 1)]
      case .transposed: [.init("B_LAYOUT", 2)]
      }
    }
  }

  /// `output (slices, m, n) = epilogue(a (m, k) * b (k, n))` on a GPU, with tiles in local memory.
  ///
  /// - Parameters:
  ///   - isTransposed: `a` is stored (k, m).
  ///   - perSlice: when given, each slice sums this many steps of `k` only, without an epilogue.
  static func tiles(
    _ a: Tensor, isTransposed: Bool = false, _ b: RightOperand, rows m: Int, columns n: Int,
    inner k: Int, perSlice: Int? = nil, epilogue: MatmulEpilogue = .init(), into output: Tensor
  ) throws {
    let context = a.context
    // Rows that begin at whole quads; where a slice begins counts for those that lie along the sum.
    let alongSum = k % 4 == 0 && (perSlice ?? 0) % 4 == 0
    let isWhole: (a: Bool, b: Bool) =
      switch b {
      case .panels: (isTransposed ? m % 4 == 0 : alongSum, false)
      case .rowMajor: (isTransposed ? m % 4 == 0 : alongSum, n % 4 == 0)
      case .transposed: (isTransposed ? m % 4 == 0 : alongSum, alongSum)
      }
    let quads = (isWhole.a ? 1 : 0) + (isWhole.b ? 2 : 0) + (n % 4 == 0 ? 4 : 0)
    var macros = b.macros + [.init("PARTS", epilogue.parts), .init("QUADS", quads)]
    macros += context.traits.narrowWaveMacros
    if isTransposed { macros.append(.init("A_TRANSPOSED", 1)) }
    if perSlice != nil { macros.append(.init("SLICED", 1)) }
    macros += epilogue.scaleMacros
    func choose(items: Int) -> (MatmulTile, KernelKey) {
      let tile = MatmulTile.choose(
        rows: m, columns: n, tuning: context.tuning, items: items, localMemory: context.traits.localMemory)
      return (tile, KernelKey("matmul_tiles", "matmul_tiles", macros: macros + tile.macros))
    }
    var (tile, kernel) = choose(items: context.traits.largestGroup)
    // A kernel that needs many registers may allow fewer items than the device does.
    while tile.items > 1, try context.maxGroup(of: kernel) < tile.items {
      (tile, kernel) = choose(items: tile.items / 2)
    }
    let slices = perSlice.map { (k + $0 - 1) / $0 } ?? 1
    let groups = [(n + tile.columns - 1) / tile.columns, (m + tile.rows - 1) / tile.rows]
    try context.run(
      kernel, over: [groups[0] * tile.items, groups[1], slices], group: [tile.items, 1, 1],
      arguments: [a.buffer, b.tensor.buffer, output.buffer] + epilogue.arguments(unused: output)
        + [m, n, k, perSlice ?? k] + epilogue.scaleArguments)
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
