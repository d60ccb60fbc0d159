import Testing

@testable import GraftRuntime

/// Device memory is counted to the byte, reused, and refused beyond the limit.
@Suite struct AllocatorTests {
  @Test func countsAndReuses() throws {
    let context = try Context(Device.select())
    let memory = context.memory
    #expect(memory.bytesInUse == 0)
    var first: Buffer? = try context.buffer(byteCount: 10_000)
    let second = try context.buffer(byteCount: 4096)
    #expect(first?.byteCount == 10_000)
    #expect(memory.bytesInUse == 12_288 + 4096)
    #expect(memory.peakBytes == memory.bytesInUse)
    let old = first?.handle.pointer
    first = nil
    #expect(memory.bytesInUse == 4096 && memory.bytesReserved == 12_288 + 4096)
    // A little smaller fits the pooled buffer; the driver is not asked.
    let again = try context.buffer(byteCount: 11_000)
    #expect(again.handle.pointer == old)
    #expect(memory.peakBytes == 12_288 + 4096)
    // Much smaller does not: it would waste the rest.
    let small = try context.buffer(byteCount: 100)
    #expect(small.handle.pointer != old)
    withExtendedLifetime((second, again, small)) {}
  }

  @Test func peakStartsAnewAtWhatIsHeld() throws {
    let context = try Context(Device.select())
    do { _ = try context.buffer(byteCount: 1 << 20) }
    #expect(context.memory.peakBytes == 1 << 20 && context.memory.bytesInUse == 0)
    context.memory.resetPeak()
    #expect(context.memory.peakBytes == 0 && context.memory.bytesReserved == 0)
  }

  @Test func limitHolds() throws {
    let context = try Context(Device.select(), memoryLimit: 1 << 20)
    let held = try context.buffer(byteCount: 1 << 19)
    #expect(throws: RuntimeError.outOfMemory(requested: 600_000, inUse: 1 << 19, limit: 1 << 20)) {
      try context.buffer(byteCount: 600_000)
    }
    // What is left can still be had, and pooled memory makes room when it must.
    do { _ = try context.buffer(byteCount: 1 << 18) }
    #expect(throws: Never.self) { try context.buffer(byteCount: 1 << 19) }
    withExtendedLifetime(held) {}
  }

  @Test func oneBufferIsNoLargerThanTheDeviceAllows() throws {
    let context = try Context(Device.select())
    let limit = context.traits.maxAllocation
    #expect(throws: RuntimeError.allocationTooLarge(requested: limit + 1, limit: limit)) {
      try context.buffer(byteCount: limit + 1)
    }
  }

  @Test func sliceKeepsItsBufferAlive() throws {
    let context = try Context(Device.select())
    let offset = context.traits.subBufferAlignment
    var whole: Buffer? = try context.buffer(byteCount: offset + 64)
    let slice = try #require(try whole?.slice(at: offset, byteCount: 64))
    try [Float](repeating: 7, count: 16).withUnsafeBytes { try context.write($0, to: slice) }
    whole = nil
    #expect(context.memory.bytesInUse > 0)
    #expect(try context.readLater(slice, byteCount: 64).floats(16) == [Float](repeating: 7, count: 16))
  }
}
