/// What kernels are built and launched with on a device, where devices differ: variants and tile sizes.
///
/// A context carries one. ``default(for:)`` is used until `graft tune` has measured; see ``TuningFile``.
package struct Tuning: Codable, Hashable, Sendable {
  /// Products with the frozen weights (Kernels/matmul.cl).
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
    /// Most work-items of a group with a tile in local memory; each computes 4 x 4 elements.
    package var groupItems = 256
    /// Steps of the sum that such a group takes between barriers.
    package var depth = 16

    /// Local memory of the largest tile, in bytes: a strip of each operand, padded by one.
    fileprivate var localBytes: Int { 4 * depth * (64 + 1 + 64 + 1) }
  }

  /// Attention (Kernels/attention.cl).
  package struct Attention: Codable, Hashable, Sendable {
    /// On a CPU, vectors of 16 floats in a row of a register tile.
    package var vectors = 4
    /// On a CPU, most keys at a time forwards, a multiple of 16; fewer where local memory is short.
    package var forwardKeys = 256
    /// The same for the gradient.
    package var backwardKeys = 128
    /// On a CPU, work-items for each core, so that all are busy to the end.
    package var itemsPerCore = 4
    /// On others, most work-items of a group.
    package var groupItems = 64
    /// On others, work-items that share a row.
    package var split = 4
    /// On others, most rows of the other side at a time; fewer where local memory is short.
    package var tile = 32
  }

  package var matmul = Matmul()
  package var attention = Attention()

  /// What of a tuning decides the order of sums, and so the bits of results; all else leaves them as they are.
  package struct Arithmetic: Codable, Hashable, Sendable {
    var variant: MatmulVariant
    var forwardKeys: Int
    var backwardKeys: Int
    var itemsPerCore: Int
    var tile: Int

    fileprivate init(_ tuning: Tuning) {
      variant = tuning.matmul.variant
      forwardKeys = tuning.attention.forwardKeys
      backwardKeys = tuning.attention.backwardKeys
      itemsPerCore = tuning.attention.itemsPerCore
      tile = tuning.attention.tile
    }
  }

  /// The part that decides the bits; `nil` where results are those of the device's default.
  package func arithmetic(on traits: DeviceTraits) -> Arithmetic? {
    let mine = Arithmetic(self)
    return mine == Arithmetic(.default(for: traits)) ? nil : mine
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
    case .amdGCN, .amdRDNA, .amdRDNA3:
      // 64 KiB of local memory, waves of 64 or 32 and registers in plenty: the tiles above, in whole waves.
      break
    case .nvidiaVolta, .nvidia:
      // 48 KiB of local memory, warps of 32: eight warps share a product's tile, and two an attention's.
      break
    case .intelXe, .intelXeHPC:
      // A sub-slice's 64 KiB serve all its threads, of 8 to 32 lanes: groups of half the size leave room for several.
      tuning.matmul.groupItems = 128
    case .mali:
      // Local memory is ordinary memory behind a cache, and threads with many registers run half as many at a time.
      (tuning.matmul.groupItems, tuning.matmul.depth, tuning.attention.tile) = (64, 8, 16)
    case .adreno:
      // 32 KiB of local memory, waves of 64 or 128: two small groups at a time, so that one works while one waits.
      (tuning.matmul.groupItems, tuning.attention.tile) = (128, 16)
    case .other:
      // 256 work-items and 9 KiB of local memory, which all but the smallest devices have.
      break
    }
    tuning.matmul.groupItems = min(tuning.matmul.groupItems, traits.maxWorkGroupSize)
    tuning.attention.groupItems = min(tuning.attention.groupItems, traits.largestGroup)
    tuning.attention.split = min(tuning.attention.split, tuning.attention.groupItems)
    while tuning.matmul.depth > 1, tuning.matmul.localBytes > traits.localMemory { tuning.matmul.depth /= 2 }
    return tuning
  }
}

extension DeviceTraits {
  /// Most work-items in a group of one dimension.
  package var largestGroup: Int { max(1, min(maxWorkGroupSize, maxWorkItemSizes.first ?? 1)) }
}

// MARK: Limits

extension Tuning {
  /// What kernels or device cannot do, in words; `nil` when all is well.
  package func fault(on traits: DeviceTraits) -> String? {
    guard matmul.variant.isAvailable else { return "this build has no \(matmul.variant.rawValue)" }
    guard matmul.variant != .cpuDotProduct else {
      return "matmul.variant serves bf16 only, and is chosen for it"
    }
    let ranges: [(name: String, value: Int, range: ClosedRange<Int>)] = [
      ("matmul.rows", matmul.rows, 1...14),
      ("matmul.panel", matmul.panel, 16...32),
      ("matmul.block_bytes", matmul.blockBytes, 1 << 12...1 << 30),
      ("matmul.group_items", matmul.groupItems, 1...max(1, traits.maxWorkGroupSize)),
      ("matmul.depth", matmul.depth, 1...64),
      ("attention.vectors", attention.vectors, 1...4),
      ("attention.forward_keys", attention.forwardKeys, 16...4096),
      ("attention.backward_keys", attention.backwardKeys, 16...4096),
      ("attention.items_per_core", attention.itemsPerCore, 1...64),
      ("attention.group_items", attention.groupItems, 1...traits.largestGroup),
      ("attention.split", attention.split, 1...max(1, attention.groupItems)),
      ("attention.tile", attention.tile, 1...256),
    ]
    for (name, value, range) in ranges where !range.contains(value) {
      return "\(name) is \(value), this device takes \(range.lowerBound) to \(range.upperBound)"
    }
    let steps = [
      ("matmul.panel", matmul.panel), ("attention.forward_keys", attention.forwardKeys),
      ("attention.backward_keys", attention.backwardKeys),
    ]
    for (name, value) in steps where value % 16 != 0 { return "\(name) is \(value), no multiple of 16" }
    guard matmul.localBytes <= traits.localMemory else {
      return """
        matmul.depth of \(matmul.depth) takes \(formatBytes(matmul.localBytes)) of local memory, this device has \
        \(formatBytes(traits.localMemory))
        """
    }
    return nil
  }
}
