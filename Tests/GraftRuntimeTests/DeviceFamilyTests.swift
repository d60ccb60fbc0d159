import Testing

@testable import GraftRuntime

/// Which chip a driver means, and which kernels it gets.
@Suite struct DeviceFamilyTests {
  private struct Refused: Error {}

  private func chip(_ name: String, _ extensions: Set<String> = [], _ numbers: [Int32: Int] = [:]) -> String?
  {
    try? DeviceTraits.chip(name: name, extensions: extensions) {
      guard let number = numbers[$0] else { throw Refused() }
      return number
    }
  }

  @Test func chipsAreKnownByTheirDrivers() {
    let nvidia: Set = ["cl_khr_fp64", "cl_nv_device_attribute_query"]
    #expect(chip("NVIDIA H100 PCIe", nvidia, [0x4000: 9, 0x4001: 0]) == "sm_90")
    #expect(chip("NVIDIA GeForce RTX 5090", nvidia, [0x4000: 12, 0x4001: 0]) == "sm_120")
    #expect(chip("NVIDIA H100 PCIe", nvidia) == nil)
    #expect(chip("gfx90a:sramecc+:xnack-") == "gfx90a")
    #expect(chip("AMD Radeon RX 7900 XTX (radeonsi, navi31, LLVM 15.0.6, DRM 3.49)") == "gfx1100")
    #expect(chip("AMD Radeon Pro W6800 (navi21)") == "gfx1030")
    #expect(chip("Mali-G78 r0p1") == nil && chip("NVIDIA gfxless") == nil)
    let intel: Set = ["cl_intel_device_attribute_query"]
    func version(_ architecture: Int, _ release: Int) -> Int { architecture << 22 | release << 14 }
    #expect(chip("Intel(R) Arc(TM) A770 Graphics", intel, [0x4250: version(12, 55)]) == "dg2")
    #expect(chip("Intel(R) Data Center GPU Max 1550", intel, [0x4250: version(12, 60)]) == "pvc")
    #expect(chip("Intel(R) Iris(R) Xe Graphics", intel, [0x4250: version(12, 0)]) == "tgllp")
    #expect(chip("Intel(R) Arc(TM) B580", intel, [0x4250: version(20, 1)]) == "xe20.1")
    #expect(chip("Intel(R) UHD Graphics 630", intel, [0x4250: version(9, 9)]) == nil)
  }

  @Test func chipDecidesAndElseTheMaker() {
    func family(_ vendor: String, _ chip: String? = nil, kind: DeviceTraits.Kind = .gpu) -> DeviceFamily {
      TuningTests.traits(kind, vendor, chip: chip).family
    }
    let chips: [(String, DeviceFamily)] = [
      ("sm_70", .nvidiaVolta), ("sm_75", .nvidiaVolta), ("sm_80", .nvidiaVolta), ("sm_86", .nvidia),
      ("sm_90", .nvidia), ("sm_120", .nvidia), ("gfx906", .amdGCN), ("gfx90a", .amdGCN), ("gfx942", .amdGCN),
      ("gfx1030", .amdRDNA), ("gfx1100", .amdRDNA3), ("gfx1201", .amdRDNA3), ("tgllp", .intelXe),
      ("dg2", .intelXe), ("xe20.1", .intelXe), ("pvc", .intelXeHPC),
    ]
    for (chip, expected) in chips { #expect(family("any", chip) == expected, "\(chip)") }
    #expect(family("NVIDIA Corporation") == .nvidia)
    #expect(family("Advanced Micro Devices, Inc.") == .amdRDNA)
    #expect(family("Intel(R) Corporation") == .intelXe && DeviceFamily.intelXe.isIntel)
    #expect(family("nobody") == .other && family("nobody", "sm_90", kind: .accelerator) == .other)
    #expect(TuningTests.wide.family == .wideCPU && TuningTests.narrow.family == .narrowCPU)
    #expect(TuningTests.mali.family == .mali && TuningTests.adreno.family == .adreno)
  }
}
