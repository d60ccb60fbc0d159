import GraftCases
import GraftRuntime
import Testing

/// Every operation on devices that allow less: this one under smaller limits, in the variants for CPUs and for GPUs.
///
/// A context that checks its memory also refuses a launch whose group or local memory is larger than the traits say.
@Suite(.serialized) struct SmallDeviceTests {
  private static let limits: [(kind: DeviceTraits.Kind, group: Int, local: Int)] = [
    (.gpu, 1, 16), (.gpu, 16, 16), (.gpu, 64, 16), (.gpu, 256, 32), (.cpu, 1, 16), (.cpu, 64, 32),
  ]

  private static func context(_ kind: DeviceTraits.Kind, group: Int, local: Int) throws -> Context {
    let device = try Device.select().changing { traits in
      traits.kind = kind
      traits.maxWorkGroupSize = min(traits.maxWorkGroupSize, group)
      traits.maxWorkItemSizes = traits.maxWorkItemSizes.map { min($0, group) }
      traits.localMemory = min(traits.localMemory, local << 10)
      traits.maxAllocation = min(traits.maxAllocation, 64 << 20)
    }
    return try Context(device, checksMemory: true)
  }

  /// Each limit takes every 24th case, so that together they take a quarter; GRAFT_LIMITS=all takes all under each.
  private static func cases(under limit: Int, on traits: DeviceTraits) -> [OperationCase] {
    // CLBlast asks the driver for its limits and never sees the traits.
    let mine = AllCases.checks(on: traits).filter { !"\($0)".hasSuffix("clblast") }
    guard !Runtime.takesAll else { return mine }
    return mine.indices.filter { $0 % (4 * limits.count) == 4 * limit }.map { mine[$0] }
  }

  @Test(.enabled(if: Runtime.runsKernels, Runtime.runsKernelsReason), arguments: limits.indices)
  func everyOperationIsRight(_ limit: Int) throws {
    let (kind, group, local) = Self.limits[limit]
    let context = try Self.context(kind, group: group, local: local)
    for check in Self.cases(under: limit, on: context.traits) {
      #expect(try check.verify(on: context) == [], "\(check)")
    }
    #expect(try context.damagedBuffers() == 0)
  }

  /// The limits are looked at, though the real device would do it.
  @Test func aLaunchBeyondTheLimitsIsRefused() throws {
    let context = try Self.context(.gpu, group: 16, local: 16)
    let buffer = try context.buffer(byteCount: 4)
    #expect(throws: RuntimeError.self) {
      try context.run(
        KernelKey("elementwise", "scale"), over: [64], group: [64], buffer, buffer, Float(2), 1, 1)
    }
  }

  @Test func aBufferBeyondTheLimitIsRefused() throws {
    // Without guard bands, which would count as asked for.
    let context = try Context(Self.context(.gpu, group: 64, local: 16).device)
    let limit = context.traits.maxAllocation
    #expect(throws: RuntimeError.allocationTooLarge(requested: limit + 4, limit: limit)) {
      try context.buffer(byteCount: limit + 4)
    }
  }
}
