/// How a pass of Kernels/attention_tiles.cl is cut into groups and items; its header says what the macros are.
package struct AttentionTile: Codable, Hashable, Sendable {
  /// Rows of a group on its own side: queries, or keys for their gradient.
  package var rows = 32
  /// Rows of the other side at a time.
  ///
  /// Forwards they decide the order of sums.
  package var others = 32
  /// Rows of an item: 4 or 8.
  package var perItem = 4
  /// Items that share rows.
  ///
  /// They decide in which parts a row's sums are added up.
  package var across = 8
  /// Columns of a head at a time.
  package var columns = 16
  /// Rows of the other side at a time in a sum over them.
  package var part = 16
  /// Steps of a product that are unrolled.
  package var ahead = 4

  /// Work-items of a group.
  package var items: Int { rows / perItem * across }

  /// The passes, as the macro PASS says them.
  package enum Pass: Int, Sendable, CaseIterable {
    case forward = 0
    case queries = 1
    case keys = 2
  }

  package init(
    rows: Int = 32, others: Int = 32, perItem: Int = 4, across: Int = 8, columns: Int = 16, part: Int = 16,
    ahead: Int = 4
  ) {
    (self.rows, self.others, self.perItem, self.across) = (rows, others, perItem, across)
    (self.columns, self.part, self.ahead) = (columns, part, ahead)
  }

  /// Local memory of a group, in bytes: the arrays of the kernels.
  package func localBytes(_ pass: Pass, headSize: Int) -> Int {
    let ownRow = rows + 4
    let (own, other) = (columns * ownRow, columns * (others + 4))
    let span = 4 * across
    let partFloats = part * ((headSize + span - 1) / span * span + 4)
    let weights = others * ownRow
    switch pass {
    case .forward where columns >= headSize:
      return 4 * (own + max(other, weights + partFloats) + rows * across)
    case .forward: return 4 * (max(own + other, weights + partFloats) + rows * across)
    case .queries: return 4 * (max(weights + max(own + other, partFloats), rows * across) + 2 * rows)
    case .keys: return 4 * (weights + max(own + other, partFloats))
    }
  }

  /// Takes fewer work-items; results keep their bits where rows alone become fewer.
  ///
  /// - Returns: false when there is one already.
  package mutating func shrinkGroup() -> Bool {
    if rows > perItem {
      rows /= 2
    } else if perItem > 4 {
      (perItem, rows) = (4, 4)
    } else {
      return narrow()
    }
    return true
  }

  /// Takes less local memory.
  ///
  /// - Returns: false when nothing is left to take away.
  package mutating func shrinkMemory() -> Bool {
    if columns > 8 {
      columns /= 2
    } else if part > 4 {
      part /= 2
    } else if rows > perItem {
      rows /= 2
    } else if others > 4 * across {
      others /= 2
    } else if columns > 4 {
      columns /= 2
    } else if part > 1 {
      part /= 2
    } else {
      return narrow()
    }
    part = min(part, others)
    return true
  }

  private mutating func narrow() -> Bool {
    guard across > 1 else { return false }
    across /= 2
    others = max(4 * across, others / 2)
    part = min(part, others)
    return true
  }

  /// Why the kernels cannot be cut like this; `nil` when they can.
  var fault: String? {
    let powers = [
      ("others", others), ("across", across), ("columns", columns), ("part", part), ("ahead", ahead),
    ]
    for (name, value) in powers where !(1...1024).contains(value) || value & (value - 1) != 0 {
      return "\(name) is \(value), no power of two up to 1024"
    }
    guard perItem == 4 || perItem == 8 else { return "per_item is \(perItem), not 4 or 8" }
    guard (perItem...1024).contains(rows), rows & (rows - 1) == 0 else {
      return "rows is \(rows), no power of two from \(perItem) to 1024"
    }
    guard others >= 4 * across else { return "others is \(others), less than 4 for each of \(across) across" }
    guard columns >= 4 else { return "columns is \(columns), less than 4" }
    guard part <= others else { return "part is \(part), more than \(others) others" }
    return nil
  }
}

/// The tile of each pass.
package struct AttentionTiles: Codable, Hashable, Sendable {
  package var forward = AttentionTile()
  package var queries = AttentionTile()
  package var keys = AttentionTile()

  package init(_ tile: AttentionTile = AttentionTile()) {
    (forward, queries, keys) = (tile, tile, tile)
  }

  package subscript(pass: AttentionTile.Pass) -> AttentionTile {
    get {
      switch pass {
      case .forward: forward
      case .queries: queries
      case .keys: keys
      }
    }
    set {
      switch pass {
      case .forward: forward = newValue
      case .queries: queries = newValue
      case .keys: keys = newValue
      }
    }
  }

  /// What is good for a device by what compilers say of its chip: the most products for each byte out of local memory that
  /// fit the registers without a spill, and leave room for four waves a core.
  package static func `default`(for traits: DeviceTraits) -> AttentionTiles {
    func tile(
      _ rows: Int, _ others: Int, perItem: Int, across: Int = 8, columns: Int = 16, part: Int = 16,
      ahead: Int = 16
    ) -> AttentionTile {
      AttentionTile(
        rows: rows, others: others, perItem: perItem, across: across, columns: columns, part: part,
        ahead: ahead)
    }
    var tiles: AttentionTiles
    switch traits.family {
    case .nvidia, .amdRDNA3:
      // 128 multiply-adds a clock want more of each byte: 8 x 4 scores and 8 x 8 columns an item.
      tiles = AttentionTiles(tile(64, 32, perItem: 8))
      // Fewer of its instructions pair up forwards when more are unrolled.
      if traits.family == .amdRDNA3 { tiles.forward.ahead = 8 }
    case .nvidiaVolta, .amdRDNA:
      tiles = AttentionTiles(tile(64, 32, perItem: 4))
    case .amdGCN where traits.chip == "gfx906":
      // More than 128 registers would leave one wave a SIMD: the two sums of a key are cut in narrower pieces.
      tiles = AttentionTiles(tile(64, 32, perItem: 4))
      tiles.keys = tile(32, 64, perItem: 4, across: 16)
    case .amdGCN:
      tiles = AttentionTiles(tile(64, 32, perItem: 8))
    case .intelXe, .intelXeHPC:
      // Messages to local memory bind, and 128 registers: all columns of a head at a time, own rows stay.
      tiles = AttentionTiles(tile(64, 32, perItem: 4, columns: 64, part: 32))
      if traits.family == .intelXe { (tiles.forward.ahead, tiles.keys.ahead) = (4, 8) }
      if !traits.hasLargeRegisterFiles {
        tiles.keys = tile(32, 64, perItem: 4, across: 16, columns: 64, part: 64)
      }
    default:
      tiles = AttentionTiles()
    }
    return tiles
  }
}

extension DeviceTraits {
  /// Intel's driver, with threads that can have 256 registers in place of 128, half as many at a time.
  package var hasLargeRegisterFiles: Bool { hasSubgroups && (chip == "dg2" || chip == "pvc") }
}
