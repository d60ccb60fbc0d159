import GraftRuntime

/// Launches of the kernels in matmul.cl.
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

  /// The right operand of a product in local memory, (k, n), as it is stored.
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

  /// `output (slices, m, n) = epilogue(a (m, k) * b (k, n))` with a tile in local memory.
  ///
  /// - Parameters:
  ///   - isTransposed: `a` is stored (k, m).
  ///   - perSlice: when given, each slice sums this many steps of `k` only, without an epilogue.
  static func local(
    _ a: Tensor, isTransposed: Bool = false, _ b: RightOperand, rows m: Int, columns n: Int,
    inner k: Int, perSlice: Int? = nil, epilogue: MatmulEpilogue = .init(), into output: Tensor
  ) throws {
    let context = a.context
    let tuning = context.tuning.matmul
    var macros = b.macros + [.init("PARTS", epilogue.parts), .init("LOCAL", 1), .init("DEPTH", tuning.depth)]
    if isTransposed { macros.append(.init("A_TRANSPOSED", 1)) }
    if perSlice != nil { macros.append(.init("SLICED", 1)) }
    macros += epilogue.scaleMacros
    var tile = LocalTile(columns: n, limit: tuning.groupItems)
    var kernel = KernelKey("matmul", "matmul_local", macros: macros + tile.macros)
    // A kernel that needs many registers may allow fewer items than the device does.
    while tile.items > 1, try context.maxGroup(of: kernel) < tile.items {
      tile = LocalTile(columns: n, limit: tile.items / 2)
      kernel = KernelKey("matmul", "matmul_local", macros: macros + tile.macros)
    }
    let slices = perSlice.map { (k + $0 - 1) / $0 } ?? 1
    let tiles = [(n + tile.columns - 1) / tile.columns, (m + tile.rows - 1) / tile.rows]
    let items = [tile.columns / LocalTile.perItem, tile.rows / LocalTile.perItem]
    try context.run(
      kernel, over: [tiles[0] * items[0], tiles[1] * items[1], slices], group: items + [1],
      arguments: [a.buffer, b.tensor.buffer, output.buffer] + epilogue.arguments(unused: output)
        + [m, n, k, perSlice ?? k] + epilogue.scaleArguments)
  }

  /// A group's tile; each item computes 4 x 4 elements.
  private struct LocalTile {
    static let perItem = 4
    let rows: Int
    let columns: Int

    /// The largest tile for a matrix of so many columns in a group of at most `limit` items.
    init(columns n: Int, limit: Int) {
      let sides =
        n <= 16 ? [(64, 16), (32, 16), (16, 16), (8, 8)] : [(64, 64), (32, 64), (32, 32), (16, 16), (8, 8)]
      let perTile = Self.perItem * Self.perItem
      (rows, columns) = sides.first { $0.0 * $0.1 / perTile <= limit } ?? (Self.perItem, Self.perItem)
    }

    var items: Int { rows * columns / (Self.perItem * Self.perItem) }
    var macros: [KernelKey.Macro] { [.init("TILE_M", rows), .init("TILE_N", columns)] }
  }

  /// `output = epilogue(output)`, in place.
  static func finish(_ output: Tensor, columns n: Int, epilogue: MatmulEpilogue) throws {
    guard !epilogue.isEmpty else { return }
    let isCPU = output.context.traits.isCPU
    let perItem = isCPU ? 4096 : 1
    let group = isCPU ? 1 : min(64, output.context.traits.largestGroup)
    try output.context.run(
      KernelKey(
        "matmul", "matmul_finish", macros: [.init("PARTS", epilogue.parts)] + epilogue.scaleMacros),
      over: [(output.count + perItem - 1) / perItem], group: [group],
      arguments: [output.buffer] + epilogue.arguments(unused: output) + [n, output.count, perItem]
        + epilogue.scaleArguments)
  }
}
