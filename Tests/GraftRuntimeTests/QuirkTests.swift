import Testing

@testable import GraftRuntime

/// Drivers are told apart by version: what each was seen to do, the other tests hold against the driver at hand.
@Suite struct QuirkTests {
  private func quirks(_ platform: String, _ device: String, _ version: String) -> Set<DeviceTraits.Quirk> {
    Set(
      DeviceTraits.Quirk.known(platform: platform, vendor: "Mesa", device: device, driverVersion: version))
  }

  @Test(arguments: [
    ("22.3.6", true, true), ("24.3.4", true, false), ("25.0.7-2+deb13u1", false, false),
    ("26.1.0-devel (git-0a1b2c)", false, false), ("", true, true), ("git", true, true),
  ])
  func versionsOfMesa(_ version: String, _ endsLongLoops: Bool, _ timesNoKernels: Bool) {
    let found = quirks("rusticl", "llvmpipe (LLVM 19.1.7, 256 bits)", version)
    #expect(found.contains(.endsLongLoops) == endsLongLoops)
    #expect(found.contains(.timesNoKernels) == timesNoKernels)
    #expect(found.contains(.doublesLocalMemory) == endsLongLoops)
    #expect(found.isSuperset(of: [.cachesPrograms, .slowPrivateVectors]))
  }

  /// Graphics cards under Rusticl end no loops; PoCL's versions are numbers, too.
  @Test func otherDriversEndTheirLoops() {
    #expect(!quirks("rusticl", "AMD Radeon RX 6800", "22.3.6").contains(.endsLongLoops))
    for version in ["3.1+debian", "6.0+debian"] {
      #expect(quirks("Portable Computing Language", "cpu-haswell", version) == [.cachesPrograms])
    }
  }
}
