import Testing

@testable import GraftRuntime

/// Which device `--device` and `GRAFT_DEVICE` choose.
@Suite struct DeviceSelectionTests {
  /// A real device's handle under other traits: nothing here runs on it.
  private func devices(_ list: [(DeviceTraits.Kind, name: String, platform: String)]) throws -> [Device] {
    let real = try Device.all()[0]
    return list.enumerated().map { index, entry in
      var traits = real.traits
      (traits.kind, traits.name, traits.platform) = (entry.0, entry.name, entry.platform)
      return Device(traits: traits, index: index, handle: real.handle)
    }
  }

  private func three() throws -> [Device] {
    try devices([
      (.cpu, "AMD EPYC", "Portable Computing Language"), (.gpu, "gfx1030", "AMD Accelerated"),
      (.gpu, "Arc A770", "Intel OpenCL"),
    ])
  }

  @Test(arguments: [
    (nil, 1), ("", 1), ("0", 0), ("2", 2), ("cpu", 0), ("GPU", 1), ("arc", 2), ("A770", 2), ("epyc", 0),
    ("intel", 2), ("portable", 0),
  ])
  func chooses(_ asked: String?, _ index: Int) throws {
    #expect(try Device.select(asked, among: three()).index == index)
  }

  @Test func withoutAGPUTheFirstIsTaken() throws {
    let all = try devices([(.accelerator, "a", "p"), (.cpu, "b", "p")])
    #expect(try Device.select(nil, among: all).index == 0)
  }

  @Test(arguments: ["3", "-1", "nvidia", "fpga"])
  func namesWhatIsHere(_ asked: String) throws {
    let all = try three()
    let error = #expect(throws: RuntimeError.self) { try Device.select(asked, among: all) }
    let text = "\(try #require(error))"
    #expect(text.contains("\"\(asked)\""))
    for device in all { #expect(text.contains(device.traits.name)) }
  }

  @Test func noDeviceSaysHowToGetOne() {
    #expect(throws: RuntimeError.noDevice([])) { try Device.select(nil, among: []) }
    #expect("\(RuntimeError.noDevice([]))".contains("pocl-opencl-icd"))
  }

  @Test func traitsAreThoseOfADevice() throws {
    for (index, device) in try Device.all().enumerated() {
      let traits = device.traits
      #expect(device.index == index && !traits.name.isEmpty && traits.version.hasPrefix("OpenCL "))
      #expect(traits.computeUnits > 0 && traits.maxWorkGroupSize > 0 && traits.localMemory > 0)
      #expect(traits.maxAllocation > 0 && traits.maxAllocation <= traits.globalMemory)
      #expect(traits.subBufferAlignment > 0 && traits.maxWorkItemSizes.count >= 3)
    }
  }
}
