/// A part of a GPU that multiplies small matrices of bf16 in one instruction of a wave.
public enum MatrixUnit: Hashable, Sendable, Codable {
  /// `mma.sync`, by the chip's major compute capability.
  case nvidia(major: Int)
  /// WMMA of RDNA 3 (generation 11) and RDNA 4 (12), whose fragments lie differently.
  case amdWMMA(generation: Int)
  /// MFMA of CDNA 2 and 3.
  case amdMFMA
  /// XMX, for waves of so many lanes.
  case intelDPAS(lanes: Int)

  /// The unit that a driver lets kernels use; `nil` where none is known.
  ///
  /// A build that succeeds proves nothing: Intel's compiler has the function on chips without the unit.
  package init?(chip: String?, platform: String, extensions: Set<String>) {
    guard let chip else { return nil }
    if platform.contains("NVIDIA"), chip.hasPrefix("sm_"), let number = Int(chip.dropFirst(3)), number >= 80 {
      self = .nvidia(major: number / 10)
    } else if platform.contains("AMD") {
      // Only AMD's own compiler takes OpenCL C with its builtin functions; Mesa's goes through SPIR-V.
      switch chip {
      case "gfx90a", "gfx942": self = .amdMFMA
      case _ where chip.hasPrefix("gfx11"): self = .amdWMMA(generation: 11)
      case _ where chip.hasPrefix("gfx120"): self = .amdWMMA(generation: 12)
      default: return nil
      }
    } else if extensions.contains("cl_intel_subgroup_matrix_multiply_accumulate") {
      self = .intelDPAS(lanes: chip == "dg2" ? 8 : 16)
    } else {
      return nil
    }
  }

  /// What Kernels/matmul_units.cl calls it.
  package var macro: Int {
    switch self {
    case .nvidia: 1
    case .amdWMMA(let generation): generation == 11 ? 2 : 3
    case .amdMFMA: 4
    case .intelDPAS(let lanes): lanes == 8 ? 5 : 6
    }
  }

  /// Lanes of a wave.
  package var wave: Int {
    switch self {
    case .nvidia, .amdWMMA: 32
    case .amdMFMA: 64
    case .intelDPAS(let lanes): lanes
    }
  }

  /// Results of one instruction.
  package var rows: Int {
    switch self {
    case .nvidia, .amdWMMA: 16
    case .amdMFMA: 32
    case .intelDPAS(let lanes): lanes
    }
  }
  package var columns: Int {
    switch self {
    case .nvidia, .intelDPAS: 8
    case .amdWMMA: 16
    case .amdMFMA: 32
    }
  }

  /// One for each map of fragments: what can be emulated.
  package static let maps: [MatrixUnit] = [
    .nvidia(major: 8), .amdWMMA(generation: 11), .amdWMMA(generation: 12), .amdMFMA, .intelDPAS(lanes: 8),
    .intelDPAS(lanes: 16),
  ]
}

/// How waves share a product on matrix units (Kernels/matmul_units.cl).
package struct MatmulUnits: Codable, Hashable, Sendable, CustomStringConvertible {
  /// Fragments of the results that a wave has.
  package var rows: Int
  package var columns: Int
  /// Waves of a group.
  package var wavesDown: Int
  package var wavesAcross: Int
  /// Halves of local memory.
  package var buffers: Int
  /// 1 where what is fetched waits in registers while the units multiply; a number, as all that a tuning's file holds.
  package var held: Int

  package init(
    _ rows: Int, _ columns: Int, waves: (down: Int, across: Int), buffers: Int = 2, held: Int = 1
  ) {
    (self.rows, self.columns, self.buffers, self.held) = (rows, columns, buffers, held)
    (wavesDown, wavesAcross) = (waves.down, waves.across)
  }

  package var description: String {
    "\(wavesDown)x\(wavesAcross) waves of \(rows)x\(columns) fragments, buffers \(buffers)"
  }

  package var macros: [KernelKey.Macro] {
    [
      .init("FRAGMENTS_M", rows), .init("FRAGMENTS_N", columns), .init("WAVES_M", wavesDown),
      .init("WAVES_N", wavesAcross), .init("BUFFERS", buffers), .init("HELD", held),
    ]
  }

  package func items(_ unit: MatrixUnit) -> Int { unit.wave * wavesDown * wavesAcross }
  package func tileRows(_ unit: MatrixUnit) -> Int { unit.rows * rows * wavesDown }
  package func tileColumns(_ unit: MatrixUnit) -> Int { unit.columns * columns * wavesAcross }

  /// What the kernel cannot do, in words; `nil` when all is well.
  package var fault: String? {
    let sizes = [rows, columns, wavesDown, wavesAcross]
    let waits = held == 1 || held == 0 && buffers == 2
    return sizes.allSatisfy { (1...8).contains($0) } && (1...2).contains(buffers) && waits
      ? nil : "is of \(sizes) fragments and waves in \(buffers) buffers, not of 1 to 8 in 1 or 2"
  }

  /// What is tried on a unit, the best on paper first, a smaller tile for fewer rows last.
  ///
  /// On paper: no spills, two groups a core, and 128 bits a read of local memory (tools/gpu).
  package static func candidates(_ unit: MatrixUnit) -> [MatmulUnits] {
    switch unit {
    case .nvidia: [MatmulUnits(4, 3, waves: (2, 4)), MatmulUnits(2, 4, waves: (2, 2))]
    case .amdWMMA:
      [MatmulUnits(4, 2, waves: (2, 4), buffers: 1), MatmulUnits(2, 2, waves: (2, 2), buffers: 1)]
    case .amdMFMA:
      [MatmulUnits(2, 2, waves: (2, 2), buffers: 1), MatmulUnits(1, 1, waves: (2, 2), buffers: 1)]
    case .intelDPAS: [MatmulUnits(2, 2, waves: (4, 8), held: 0)]
    }
  }
}
