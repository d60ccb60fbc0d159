/// What kernels are built and launched with on a device, where devices differ: variants and tile sizes.
///
/// A context carries one. ``default(for:)`` is used until `graft tune` has measured; see ``TuningFile``.
package struct Tuning: Codable, Hashable, Sendable {
  /// Matrix products (Kernels/matmul*.cl).
  package struct Matmul: Codable, Hashable, Sendable {
    /// How they are computed.
    package var variant = MatmulVariant.localMemoryTiled
    /// Rows of a register tile.
    package var rows = 12
    /// Columns of a register tile, and of the panels that weights are packed in: 16 or 32.
    package var panel = 32
    /// Bytes of the left operand that all panels pass over before the next block: about what a core's own cache holds.
    ///
    /// Measured on Zen 4 (1 MiB L2) at 256 KiB, 512 KiB and 1 MiB: the largest was best at every width, and blocks as
    /// such brought 8224 rows of 384 from 73 to 95 % of peak.
    package var blockBytes = 1 << 20
    /// On others, how a group shares a product, by its number of rows; see ``MatmulTile/choose(rows:columns:tuning:items:localMemory:)``.
    package var few = MatmulTile.standard(.other, .few)
    package var some = MatmulTile.standard(.other, .some)
    package var many = MatmulTile.standard(.other, .many)
    /// On others, which kernel multiplies by frozen weights: the tiles, which do the rest, or the lanes.
    package var kernel = MatmulKernel.tiles
    /// What the lanes do.
    package var lanes = MatmulLanes(wave: 16, rows: 8)
    /// What the matrix units do where frozen weights are bf16; `nil` leaves them unused.
    package var units: MatmulUnits? = nil
  }

  /// Attention (Kernels/attention*.cl).
  package struct Attention: Codable, Hashable, Sendable {
    /// On a CPU, vectors of 16 floats in a row of a register tile.
    package var vectors = 4
    /// On a CPU, most keys at a time forwards, a multiple of 16; fewer where local memory is short.
    package var forwardKeys = 256
    /// The same for the gradient.
    package var backwardKeys = 128
    /// On a CPU, work-items for each core, so that all are busy to the end.
    package var itemsPerCore = 4
    /// On others, groups and items (Kernels/attention_tiles.cl); `nil` those of the device's family.
    package var tiles: AttentionTiles?

    /// The tiles to use on a device.
    package func tiles(on traits: DeviceTraits) -> AttentionTiles { tiles ?? .default(for: traits) }
  }

  package var matmul = Matmul()
  package var attention = Attention()

  /// What of a tuning decides the order of sums, and so the bits of results; all else leaves them as they are.
  package struct Arithmetic: Codable, Hashable, Sendable {
    var variant: MatmulVariant
    /// Missing in what was written before there were any.
    var usesUnits: Bool?
    /// True where norms in front of frozen products are computed before them, which the lanes do not take in; missing
    /// else, on Intel's chips, whose tiles do not either, and in what was written before.
    var leavesNorms: Bool?
    var forwardKeys: Int
    var backwardKeys: Int
    var itemsPerCore: Int
    /// Forwards keys at a time and items that share a row, and those that share one in the pass for queries; `nil` on a
    /// CPU, and in what was stored when attention had other tiles.
    var tiles: [Int]?

    fileprivate init(_ tuning: Tuning, _ traits: DeviceTraits) {
      variant = tuning.matmul.variant
      usesUnits = tuning.matmul.units == nil ? nil : true
      let leaves = !traits.isCPU && !traits.family.isIntel && tuning.matmul.kernel == .lanes
      leavesNorms = leaves ? true : nil
      forwardKeys = tuning.attention.forwardKeys
      backwardKeys = tuning.attention.backwardKeys
      itemsPerCore = tuning.attention.itemsPerCore
      let attention = tuning.attention.tiles(on: traits)
      tiles =
        traits.isCPU ? nil : [attention.forward.others, attention.forward.across, attention.queries.across]
    }
  }

  /// The part that decides the bits; `nil` where results are those of the device's default.
  package func arithmetic(on traits: DeviceTraits) -> Arithmetic? {
    let mine = Arithmetic(self, traits)
    return mine == Arithmetic(.default(for: traits), traits) ? nil : mine
  }
}

// MARK: Defaults

extension Tuning {
  /// What is used on a device that has not been tuned.
  ///
  /// The lines for CPUs were measured on PoCL. Those for GPUs never were: none was at hand, and they stay where any
  /// device of the kind should do well; `graft tune` finds what is best on one.
  package static func `default`(for traits: DeviceTraits) -> Tuning {
    var tuning = Tuning()
    switch traits.family {
    case .wideCPU:
      // 12 x 32 sums fill 24 of 32 registers of 16 floats, and leave some for operands.
      tuning.matmul.variant = .cpuRegisterTiled
    case .narrowCPU:
      // 6 x 16 sums fill 12 of 16 registers of 8 floats.
      tuning.matmul.variant = .cpuRegisterTiled
      (tuning.matmul.rows, tuning.matmul.panel, tuning.attention.vectors) = (6, 16, 1)
    case .intelXe, .intelXeHPC:
      if let lanes = MatmulLanes.candidates(traits).first {
        (tuning.matmul.kernel, tuning.matmul.lanes) = (.lanes, lanes)
      }
    case .nvidiaVolta, .nvidia, .amdGCN, .amdRDNA, .amdRDNA3, .mali, .adreno, .other:
      // Tiles alone differ: MatmulTile.standard and AttentionTiles.default.
      break
    }
    for rows in MatmulRows.allCases {
      tuning[keyPath: rows.field] = MatmulTile.standard(traits.family, rows)
        .limited(items: traits.largestGroup, localMemory: traits.localMemory)
    }
    return tuning
  }
}

// MARK: Limits

extension Tuning {
  /// What kernels or device cannot do, in words; `nil` when all is well.
  package func fault(on traits: DeviceTraits) -> String? {
    guard matmul.variant.isAvailable else { return "this build has no \(matmul.variant.rawValue)" }
    guard !matmul.variant.multipliesBFloats else {
      return "matmul.variant serves bf16 only, and is chosen for it"
    }
    let ranges: [(name: String, value: Int, range: ClosedRange<Int>)] = [
      ("matmul.rows", matmul.rows, 1...14),
      ("matmul.panel", matmul.panel, 16...32),
      ("matmul.block_bytes", matmul.blockBytes, 1 << 12...1 << 30),
      ("attention.vectors", attention.vectors, 1...4),
      ("attention.forward_keys", attention.forwardKeys, 16...4096),
      ("attention.backward_keys", attention.backwardKeys, 16...4096),
      ("attention.items_per_core", attention.itemsPerCore, 1...64),
    ]
    for (name, value, range) in ranges where !range.contains(value) {
      return "\(name) is \(value), this device takes \(range.lowerBound) to \(range.upperBound)"
    }
    let steps = [
      ("matmul.panel", matmul.panel), ("attention.forward_keys", attention.forwardKeys),
      ("attention.backward_keys", attention.backwardKeys),
    ]
    for (name, value) in steps where value % 16 != 0 { return "\(name) is \(value), no multiple of 16" }
    for rows in MatmulRows.allCases {
      let tile = self[keyPath: rows.field]
      if let fault = tile.fault(items: traits.largestGroup, localMemory: traits.localMemory) {
        return "matmul.\(rows.rawValue) \(fault)"
      }
    }
    if let tiles = attention.tiles {
      for pass in AttentionTile.Pass.allCases {
        if let fault = tiles[pass].fault { return "attention.tiles.\(pass): \(fault)" }
      }
    }
    if let fault = matmul.lanes.fault { return "matmul.lanes \(fault)" }
    if let fault = matmul.units?.fault { return "matmul.units \(fault)" }
    return nil
  }
}
