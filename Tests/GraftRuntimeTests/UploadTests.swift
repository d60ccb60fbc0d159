import Testing

@testable import GraftRuntime

/// Bytes that reach the device beside what is computed.
@Suite struct UploadTests {
  private static let count = 1 << 14

  private static func context() throws -> Context {
    try Context(Device.select().changing { $0.kind = .gpu })
  }

  private static func upload(_ value: Float, to context: Context, count: Int = count) throws -> Buffer {
    try [Float](repeating: value, count: count).withUnsafeBytes { try context.upload($0) }
  }

  private static func add(_ a: Buffer, _ b: Buffer, into sum: Buffer, on context: Context) throws {
    try context.run(
      .init("elementwise", "add"), over: [count / 16], group: [1], a, b, sum, count, 16)
  }

  private static func floats(_ buffer: Buffer, on context: Context) throws -> [Float] {
    var values = [Float](repeating: 0, count: count)
    try values.withUnsafeMutableBytes { try context.read(buffer, into: $0) }
    return values
  }

  /// Each place is written many times while what reads it is still queued.
  @Test func readersSeeWhatWasUploadedForThem() throws {
    let context = try Self.context()
    let sum = try context.buffer(byteCount: Self.count * 4)
    try context.fill(sum, with: 0, byteCount: Self.count * 4)
    for round in 1...300 {
      let bytes = try Self.upload(Float(round), to: context)
      try Self.add(bytes, sum, into: sum, on: context)
    }
    #expect(try Set(Self.floats(sum, on: context)) == [300 * 301 / 2])
  }

  @Test func uploadsBeyondThePlacesGoTheOrdinaryWay() throws {
    let context = try Self.context()
    let held = try (1...7).map { try Self.upload(Float($0), to: context) }
    for (index, buffer) in held.enumerated() {
      #expect(try Set(Self.floats(buffer, on: context)) == [Float(index + 1)])
    }
  }

  @Test func theRingHoldsThreePlaces() throws {
    let context = try Self.context()
    var inUse: [Int] = []
    for _ in 0..<9 {
      _ = try Self.upload(1, to: context)
      inUse.append(context.memory.bytesInUse)
    }
    #expect(inUse[2] == inUse[8] && inUse[8] == 3 * Self.count * 4)
    // A larger batch takes larger places, and the smaller ones go back to the pool.
    for _ in 0..<3 { _ = try Self.upload(1, to: context, count: 2 * Self.count) }
    #expect(context.memory.bytesInUse == 6 * Self.count * 4)
    // A rehearsal counts the same.
    let rehearsal = context.rehearsal()
    for _ in 0..<9 { _ = try Self.upload(1, to: rehearsal) }
    #expect(rehearsal.memory.bytesInUse == 3 * Self.count * 4)
  }

  /// Whatever call fails, it is an error of its kind, nothing is left behind, and the next upload is right.
  @Test(arguments: [
    "clCreateBuffer", "clEnqueueMapBuffer", "clEnqueueWriteBuffer", "clEnqueueBarrierWithWaitList",
    "clEnqueueMarkerWithWaitList", "clWaitForEvents", "clFlush",
  ])
  func failuresAreTyped(_ function: String) throws {
    let watch = CallWatch()
    try watch {
      let context = try Self.context()
      watch.arm()
      for round in 0..<4 { _ = try Self.upload(Float(round), to: context) }
      let calls = watch.calls[function] ?? 0
      #expect(calls > 0, "\(function) is never called")
      for occurrence in 1...max(1, calls) {
        let other = try Self.context()
        watch.arm(.init(function, occurrence: occurrence, status: -5))
        do {
          for round in 0..<4 { _ = try Self.upload(Float(round), to: other) }
        } catch is RuntimeError {}
        watch.arm()
        other.forgetLoss()
        #expect(try Set(Self.floats(Self.upload(9, to: other), on: other)) == [9])
      }
    }
    #expect(watch.live.isEmpty)
  }
}
