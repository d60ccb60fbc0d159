/// The lines of processors that kernels are written for: what decides which kernels, tiles and groups are good by default.
package enum DeviceFamily: String, CaseIterable, Sendable {
  /// 32 vector registers of 16 floats (AVX-512), or of 8 and fewer.
  case wideCPU, narrowCPU
  /// Volta, Turing and the A100: 64 fp32 lanes a core, which local memory can just feed.
  case nvidiaVolta
  /// GeForce from Ampere on, Hopper and later: 128 fp32 lanes a core.
  case nvidia
  /// GCN and CDNA: waves of 64.
  case amdGCN
  /// RDNA 1 and 2: waves of 32.
  case amdRDNA
  /// RDNA 3 and 4: waves of 32 that issue two instructions at a time.
  case amdRDNA3
  /// Integrated and Arc graphics from Xe-LP on: lanes read each other's registers for nothing.
  case intelXe
  /// Ponte Vecchio: the same with waves of 16 or 32.
  case intelXeHPC
  case mali, adreno
  case other

  /// The family of a device.
  ///
  /// The chip decides where it is known, the maker's names elsewhere.
  init(_ traits: DeviceTraits) {
    guard !traits.isCPU else {
      self = traits.hasWideRegisters ? .wideCPU : .narrowCPU
      return
    }
    guard traits.kind == .gpu else {
      self = .other
      return
    }
    if let chip = traits.chip, let known = Self.ofChips.first(where: { chip.hasPrefix($0.prefix) }) {
      self = known.family
      return
    }
    // Mesa's drivers put the maker into the name alone; phones' come first, as theirs name other makers too.
    let name = "\(traits.vendor) \(traits.name)".lowercased()
    self = Self.ofMakers.first { $0.names.contains { name.contains($0) } }?.family ?? .other
  }

  /// The first prefix that fits decides.
  private static let ofChips: [(prefix: String, family: DeviceFamily)] = [
    ("sm_7", .nvidiaVolta), ("sm_80", .nvidiaVolta), ("sm_", .nvidia),
    ("gfx10", .amdRDNA), ("gfx11", .amdRDNA3), ("gfx12", .amdRDNA3), ("gfx", .amdGCN),
    ("pvc", .intelXeHPC), ("tgllp", .intelXe), ("dg2", .intelXe), ("xe", .intelXe),
  ]

  private static let ofMakers: [(names: [String], family: DeviceFamily)] = [
    (["mali", "immortalis"], .mali), (["adreno", "qualcomm"], .adreno), (["nvidia", "geforce"], .nvidia),
    (["advanced micro devices", "amd", "radeon"], .amdRDNA), (["intel"], .intelXe),
  ]

  /// Made by Intel.
  package var isIntel: Bool { self == .intelXe || self == .intelXeHPC }

  /// Lanes that run in step: least work-items of a group that leave none idle.
  ///
  /// Of those whose compiler chooses, the most that it chooses.
  package var waveLanes: Int {
    switch self {
    case .wideCPU, .narrowCPU: 1
    case .nvidiaVolta, .nvidia, .amdRDNA, .amdRDNA3, .intelXe, .intelXeHPC: 32
    case .mali: 16
    case .amdGCN, .adreno, .other: 64
    }
  }
}

extension DeviceTraits {
  /// The line of processors that the device belongs to.
  package var family: DeviceFamily { DeviceFamily(self) }
}
