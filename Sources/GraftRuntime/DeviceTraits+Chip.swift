import COpenCL

extension DeviceTraits {
  /// What a compiler calls the chip of a GPU: `sm_90`, `gfx1100`, `dg2`; `nil` where the driver does not tell.
  ///
  /// - Parameters:
  ///   - name: the device's name, in which AMD's drivers and Mesa's tell it.
  ///   - extensions: the device's.
  ///   - number: asks the driver for a 32-bit number.
  static func chip(
    name: String, extensions: Set<String>, number: (Int32) throws -> Int
  ) rethrows -> String? {
    if extensions.contains("cl_nv_device_attribute_query") {
      // CL_DEVICE_COMPUTE_CAPABILITY_MAJOR_NV and _MINOR_NV, which Apple's header lacks.
      return "sm_\(try number(0x4000))\(try number(0x4001))"
    }
    if extensions.contains("cl_intel_device_attribute_query") {
      // CL_DEVICE_IP_VERSION_INTEL.
      return intelChip(ipVersion: UInt32(truncatingIfNeeded: try number(0x4250)))
    }
    let words = name.lowercased().split { !($0.isASCII && ($0.isLetter || $0.isNumber)) }
    // "gfx90a:sramecc+:xnack-" of ROCm, "AMD Radeon RX 7900 XTX (radeonsi, navi31, LLVM 15.0.6, ...)" of Mesa.
    if let chip = words.first(where: { $0.hasPrefix("gfx") && $0.dropFirst(3).first?.isNumber == true }) {
      return String(chip)
    }
    let generations = [
      ("navi1", "gfx1010"), ("navi2", "gfx1030"), ("navi3", "gfx1100"), ("navi4", "gfx1201"),
    ]
    return generations.first { generation in words.contains { $0.hasPrefix(generation.0) } }?.1
  }

  /// The name for Intel's version of a graphics core: architecture in the upper ten bits, release in the next eight.
  static func intelChip(ipVersion: UInt32) -> String? {
    let (architecture, release) = (ipVersion >> 22, ipVersion >> 14 & 0xff)
    switch (architecture, release) {
    case (12, 0..<50): return "tgllp"
    case (12, 55...57): return "dg2"
    case (12, 60...61): return "pvc"
    case (12..., _): return "xe\(architecture).\(release)"
    default: return nil
    }
  }
}
