/// How a group of a GPU's work-items shares a matrix product (Kernels/matmul_tiles.cl).
///
/// It decides speed alone: each element of the result is one chain of multiply-adds in the order of the sum.
package struct MatmulTile: Hashable, Sendable {
  /// What a group computes.
  package var rows: Int
  package var columns: Int
  /// What a work-item computes: 1, 2, 4 or 8 rows, 4 or 8 columns.
  package var itemRows: Int
  package var itemColumns: Int
  /// Steps of the sum between barriers.
  package var depth: Int
  /// How many of them are unrolled: 1, 2, 4, or 0 for all.
  package var ahead: Int
  /// Halves of local memory: with one, nothing is stored while the other is read.
  package var buffers: Int

  package init(
    _ rows: Int, _ columns: Int, item: (rows: Int, columns: Int), depth: Int = 8, ahead: Int = 2,
    buffers: Int = 2
  ) {
    (self.rows, self.columns, self.depth, self.ahead) = (rows, columns, depth, ahead)
    (itemRows, itemColumns, self.buffers) = (item.rows, item.columns, buffers)
  }

  /// Work-items of a group.
  package var items: Int { rows / itemRows * (columns / itemColumns) }

  /// Local memory of a group: a strip of each operand, padded by four.
  package var localBytes: Int { 4 * buffers * depth * (rows + columns + 8) }

  /// Whether whole chunks of 32 columns lie in a group's tile.
  package var leavesChunks: Bool { columns % 32 == 0 }

  /// Work-items along each dimension for a product of so many rows and columns.
  package func global(rows m: Int, columns n: Int) -> [Int] {
    [(n + columns - 1) / columns * items, (m + rows - 1) / rows]
  }

  /// What the kernel is compiled with.
  package var macros: [KernelKey.Macro] {
    [
      .init("TILE_M", rows), .init("TILE_N", columns), .init("PER_M", itemRows), .init("PER_N", itemColumns),
      .init("DEPTH", depth), .init("AHEAD", ahead), .init("BUFFERS", buffers),
    ]
  }
}

// MARK: Choice

/// How many rows a product has, which decides which tile gives a device enough groups and each enough work.
package enum MatmulRows: String, CaseIterable, Sendable {
  /// An image or two: groups are scarce.
  case few
  /// Up to about ten images.
  case some
  case many

  package init(_ rows: Int) {
    self = Self.allCases.first { $0.range.contains(rows) } ?? .few
  }

  package var range: ClosedRange<Int> {
    switch self {
    case .few: 0...600
    case .some: 601...2400
    case .many: 2401...Int.max
    }
  }

  /// Where a tuning keeps the tile.
  package var field: any WritableKeyPath<Tuning, MatmulTile> & Sendable {
    switch self {
    case .few: \.matmul.few
    case .some: \.matmul.some
    case .many: \.matmul.many
    }
  }
}

extension MatmulTile {
  /// The tile for a product of `m` rows and `n` columns.
  ///
  /// - Parameters:
  ///   - tuning: what is best where both are large.
  ///   - items: most work-items of a group.
  ///   - localMemory: most bytes of a group.
  package static func choose(
    rows m: Int, columns n: Int, tuning: Tuning, items: Int, localMemory: Int
  ) -> MatmulTile {
    var tile: MatmulTile
    if m <= 32 {
      // Class tokens and heads read a weight once for few rows: what counts is how much of it is on its way.
      tile = few(rows: m)
    } else if n <= 16 {
      // So do an adapter's narrow products with its input.
      tile = MatmulTile(64, 16, item: (4, 4), depth: 16)
    } else {
      tile = tuning[keyPath: MatmulRows(m).field]
      while tile.columns / 2 >= max(n, 32), tile.columns > tile.itemColumns { tile.halveColumns() }
    }
    return tile.limited(items: items, localMemory: localMemory)
  }

  /// Half the columns, of no fewer items than a wave has, if they can do less each.
  private mutating func halveColumns() {
    columns /= 2
    guard items < 64 else { return }
    if itemColumns > Self.least { itemColumns /= 2 } else if itemRows > 1 { itemRows /= 2 }
  }

  /// Few rows at a time, in deep steps, by one group of 64.
  private static func few(rows m: Int) -> MatmulTile {
    if m <= 8 { return MatmulTile(8, 32, item: (1, 4), depth: 64, ahead: 4) }
    if m <= 16 { return MatmulTile(16, 32, item: (2, 4), depth: 32, ahead: 4) }
    return MatmulTile(32, 32, item: (4, 4), depth: 32)
  }

  /// What is left of the tile in a smaller group: less of everything, until a single item does it.
  package func limited(items: Int, localMemory: Int) -> MatmulTile {
    var tile = self
    while tile.items > max(1, items) {
      if tile.rows / tile.itemRows < tile.columns / tile.itemColumns {
        tile.columns /= 2
      } else if tile.rows > Self.least {
        tile.rows /= 2
      } else {
        tile.itemRows *= 2
      }
    }
    // What an item fetches ahead waits in its registers.
    while tile.depth > 8, (tile.rows + tile.columns) * tile.depth > 64 * tile.items { tile.depth /= 2 }
    while tile.localBytes > localMemory {
      if tile.depth > 8 {
        tile.depth /= 2
      } else if tile.buffers > 1 {
        tile.buffers = 1
      } else if tile.depth > Self.least {
        tile.depth /= 2
      } else if tile.rows >= tile.columns, tile.rows > max(tile.itemRows, Self.least) {
        tile.rows /= 2
      } else if tile.columns > tile.itemColumns {
        tile.columns /= 2
      } else {
        // At most 24 x 16 bytes: no device has less.
        break
      }
    }
    return tile
  }

  /// Least rows, columns and depth: a quad.
  private static let least = 4

  /// What the kernel cannot do, or a device of these limits, in words; `nil` when all is well.
  package func fault(items most: Int, localMemory: Int) -> String? {
    func isPower(_ value: Int, _ range: ClosedRange<Int>) -> Bool {
      range.contains(value) && value & (value - 1) == 0
    }
    guard isPower(itemRows, 1...8), isPower(itemColumns, 4...8) else {
      return "computes \(itemRows)x\(itemColumns) elements an item, not 1, 2, 4 or 8 rows of 4 or 8"
    }
    guard isPower(rows, 4...256), isPower(columns, 4...256), rows >= itemRows, columns >= itemColumns else {
      return "is of \(rows)x\(columns) elements, which are no powers of two from its items' to 256"
    }
    guard isPower(depth, 4...64), [0, 1, 2, 4].contains(ahead), (1...2).contains(buffers) else {
      return
        "takes \(depth) steps, \(ahead) ahead, in \(buffers) buffers, not 4 to 64, 0, 1, 2 or 4, and 1 or 2"
    }
    guard items <= most else { return "takes \(items) work-items, this device takes 1 to \(most)" }
    guard localBytes <= localMemory else {
      return """
        takes \(formatBytes(localBytes)) of local memory, this device has \(formatBytes(localMemory))
        """
    }
    return nil
  }
}

// MARK: Text

/// As text, such as `128x128 8x8 depth 8 ahead 2 buffers 2`: what a tuning's file holds.
extension MatmulTile: Codable, CustomStringConvertible {
  package var description: String {
    "\(rows)x\(columns) \(itemRows)x\(itemColumns) depth \(depth) ahead \(ahead) buffers \(buffers)"
  }

  /// - Returns: `nil` for what ``description`` does not write.
  package init?(_ description: String) {
    let numbers = description.split { !$0.isNumber }.compactMap { Int($0) }
    guard numbers.count == 7 else { return nil }
    self.init(
      numbers[0], numbers[1], item: (numbers[2], numbers[3]), depth: numbers[4], ahead: numbers[5],
      buffers: numbers[6])
    guard self.description == description else { return nil }
  }

  package init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    guard let tile = MatmulTile(try container.decode(String.self)) else {
      throw DecodingError.dataCorruptedError(in: container, debugDescription: "no tile of a matrix product")
    }
    self = tile
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}

/// A kernel for products with frozen weights on GPUs.
package enum MatmulKernel: String, Codable, Hashable, Sendable {
  /// Kernels/matmul_tiles.cl: through local memory.
  case tiles
  /// Kernels/matmul_lanes.cl: through each other's registers.
  case lanes
}

/// How waves whose lanes read each other's registers share a product (Kernels/matmul_lanes.cl).
package struct MatmulLanes: Codable, Hashable, Sendable, CustomStringConvertible {
  /// Lanes of a wave: 8 or 16.
  package var wave: Int
  /// Rows that a wave computes: 8 or 16.
  package var rows: Int

  package init(wave: Int, rows: Int) { (self.wave, self.rows) = (wave, rows) }

  package var description: String { "\(wave) lanes x \(rows) rows" }

  /// What the kernel cannot do, in words; `nil` when all is well.
  package var fault: String? {
    [8, 16].contains(wave) && [8, 16].contains(rows)
      ? nil : "takes \(wave) lanes and \(rows) rows, not 8 or 16 of each"
  }

  /// Waves of a group, for a product of `m` rows: none where the device cannot hold one.
  ///
  /// Emulated lanes keep their operands in local memory, two a lane and row.
  package func waves(rows m: Int, items: Int, localMemory: Int) -> Int? {
    [4, 2, 1].first {
      ($0 - 1) * rows < m && $0 * wave <= items && $0 * wave * rows * 8 <= localMemory
    }
  }
}

// MARK: Defaults and candidates

extension MatmulTile {
  /// What is tried on a family of devices, the default first.
  ///
  /// On paper, by machine code that the vendors' compilers made (tools/gpu): 8 x 8 elements an item read a float of local
  /// memory for four multiply-adds, which 128 lanes a core need; so many steps are unrolled that registers still allow two
  /// groups a core, and all of them where two instructions issue at a time. `graft tune` decides.
  package static func candidates(_ family: DeviceFamily, _ rows: MatmulRows) -> [MatmulTile] {
    let (small, wide) = ((rows: 8, columns: 4), (rows: 8, columns: 8))
    switch family {
    case .nvidiaVolta, .nvidia: return large(ahead: 2, rows)
    case .amdGCN, .amdRDNA, .amdRDNA3: return large(ahead: 0, rows)
    case .intelXe, .intelXeHPC:
      // What lanes do not serve: trainable products.
      let tiles = [
        MatmulTile(32, 64, item: small), MatmulTile(64, 64, item: small), MatmulTile(32, 32, item: (4, 4)),
        MatmulTile(64, 64, item: (4, 4)),
      ]
      return rows == .few ? tiles : [tiles[1], tiles[0], tiles[3]]
    case .mali:
      // Local memory is ordinary memory behind a cache, and threads with many registers run half as many at a time.
      return [
        MatmulTile(32, 32, item: (4, 4), ahead: 1, buffers: 1), MatmulTile(64, 64, item: small, buffers: 1),
        MatmulTile(64, 64, item: (4, 4), ahead: 1, buffers: 1), MatmulTile(64, 64, item: wide),
      ]
    case .adreno, .other, .wideCPU, .narrowCPU:
      let first = MatmulTile(rows == .few ? 32 : 64, 64, item: small, buffers: 1)
      return [
        first, MatmulTile(32, 32, item: (4, 4), ahead: 1, buffers: 1),
        MatmulTile(64, 64, item: (4, 4), ahead: 1),
        MatmulTile(64, 64, item: wide),
      ]
    }
  }

  /// What is used until something is measured.
  package static func standard(_ family: DeviceFamily, _ rows: MatmulRows) -> MatmulTile {
    candidates(family, rows)[0]
  }

  /// Those of large devices.
  private static func large(ahead: Int, _ rows: MatmulRows) -> [MatmulTile] {
    let (small, wide) = ((rows: 8, columns: 4), (rows: 8, columns: 8))
    let other = ahead == 0 ? 2 : 0
    switch rows {
    case .few:
      return [
        MatmulTile(32, 64, item: small, ahead: ahead), MatmulTile(32, 64, item: wide, ahead: ahead),
        MatmulTile(64, 64, item: wide, ahead: ahead), MatmulTile(32, 64, item: (4, 4), ahead: ahead),
        MatmulTile(64, 64, item: small, depth: 16, ahead: ahead),
      ]
    case .some:
      return [
        MatmulTile(64, 64, item: wide, ahead: ahead), MatmulTile(128, 64, item: wide, ahead: ahead),
        MatmulTile(64, 64, item: small, depth: 16, ahead: ahead),
        MatmulTile(128, 128, item: wide, ahead: ahead), MatmulTile(64, 64, item: wide, ahead: other),
      ]
    case .many:
      return [
        MatmulTile(128, 128, item: wide, ahead: ahead), MatmulTile(128, 64, item: wide, ahead: ahead),
        MatmulTile(128, 128, item: wide, ahead: other), MatmulTile(64, 64, item: wide, ahead: ahead),
      ]
    }
  }
}

extension MatmulLanes {
  /// What is tried on a device; the first, where there is one, is the default.
  ///
  /// None where the driver does not tell the chip: Intel's own does, and its compiler has what the kernel needs.
  package static func candidates(_ traits: DeviceTraits) -> [MatmulLanes] {
    guard traits.family.isIntel, traits.hasSubgroups, let chip = traits.chip else { return [] }
    let (small, wide) = (MatmulLanes(wave: 8, rows: 8), MatmulLanes(wave: 16, rows: 8))
    if traits.family == .intelXeHPC { return [MatmulLanes(wave: 16, rows: 16), wide] }
    // Sixteen lanes of a Xe-LP spill some registers.
    return chip == "tgllp" ? [small] : [wide, small]
  }
}
