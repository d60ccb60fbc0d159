import COpenCL
import Foundation
import Testing

@testable import GraftRuntime

/// What a failed call means: refused, out of memory, or the device is lost; and nothing of it leaks.
@Suite struct RuntimeFaultTests {
  /// A kernel, a buffer, a write, a wait and reads of both kinds.
  private func work(_ context: Context) throws -> [Float] {
    let buffer = try context.buffer(byteCount: 256)
    try [Float](repeating: 3, count: 64).withUnsafeBytes { try context.write($0, to: buffer) }
    try context.run(.init("elementwise", "add"), over: [1], group: [1], buffer, buffer, buffer, 64, 64)
    let later = try context.readLater(buffer, byteCount: 256)
    try context.finish()
    var now = [Float](repeating: 0, count: 64)
    try now.withUnsafeMutableBytes { try context.read(buffer, into: $0) }
    return try now + later.floats(64)
  }

  /// How a call is refused, by name and code.
  private static let meanings: [(String, Int32, @Sendable (RuntimeError) -> Bool)] = [
    ("clCreateBuffer", -61, { if case .openCL("clCreateBuffer", _) = $0 { true } else { false } }),
    ("clEnqueueWriteBuffer", -5, { if case .outOfMemory(256, _, _) = $0 { true } else { false } }),
    ("clEnqueueNDRangeKernel", -4, { if case .outOfMemory(0, _, _) = $0 { true } else { false } }),
    ("clEnqueueNDRangeKernel", -54, { if case .openCL = $0 { true } else { false } }),
    ("clBuildProgram", -11, { if case .buildFailed = $0 { true } else { false } }),
    ("clBuildProgram", -6, { if case .outOfMemory = $0 { true } else { false } }),
    ("clFlush", -36, { $0.isLoss }), ("clEnqueueNDRangeKernel", -36, { $0.isLoss }),
    ("clWaitForEvents", -5, { $0.isLoss }), ("clWaitForEvents", -14, { $0.isLoss }),
    ("clEnqueueReadBuffer", -5, { if case .outOfMemory = $0 { true } else { false } }),
    ("clEnqueueReadBuffer", -36, { $0.isLoss }),
  ]

  @Test(arguments: meanings.indices) func failureHasItsMeaning(_ index: Int) throws {
    let (function, status, isMeant) = Self.meanings[index]
    let watch = CallWatch()
    try watch {
      // A program kept by Graft is built from source where it does not build as it was kept.
      let context = try Context(Device.select().changing { $0.quirks.append(.cachesPrograms) })
      watch.arm(.init(function, occurrence: 1, status: status))
      let error = #expect(throws: RuntimeError.self) { try work(context) }
      let failure = try #require(error)
      #expect(isMeant(failure), "\(function) \(status): \(failure)")
      if failure.isLoss {
        #expect("\(failure)".contains("--resume") && "\(failure)".contains(function))
        #expect(throws: failure) { try work(context) }
        #expect(throws: failure) { try context.finish() }
        context.forgetLoss()
      }
      #expect(try work(context) == [Float](repeating: 6, count: 128), "the second try")
    }
    #expect(watch.hasFired)
    #expect(watch.live == [:], "\(function) leaks")
  }

  /// Memory for which the driver makes room once the pool is empty is no failure.
  @Test func emptyingThePoolIsTriedFirst() throws {
    let watch = CallWatch()
    try watch {
      let context = try Context(Device.select())
      watch.arm(.init("clCreateBuffer", occurrence: 1, status: -4))
      #expect(try work(context).count == 128)
    }
    #expect(watch.hasFired && watch.live == [:])
  }

  /// Nobody waits for a write: that it failed is seen at the next chance, and only once it is over.
  @Test func aWriteThatFailsLateIsNoticed() throws {
    let watch = CallWatch()
    try watch {
      let context = try Context(Device.select())
      var status: cl_int = 0
      let event = try #require(clCreateUserEvent(context.handle.pointer, &status))
      let transfers = Transfers()
      transfers.keep(.allocate(byteCount: 64, alignment: 64), until: Handle(owning: event, .event))
      try transfers.sweep()
      #expect(watch.live["cl_event"] == 1)
      clSetUserEventStatus(event, -5)
      let lost = RuntimeError.deviceLost(
        function: "clEnqueueWriteBuffer", status: OpenCLStatus(rawValue: -5))
      #expect(throws: lost) { try transfers.sweep() }
      #expect(watch.live["cl_event"] == nil)
      try transfers.sweep()
    }
    #expect(watch.live == [:])
  }

  @Test func aLossIsKnownToAllContextsOfAQueue() throws {
    let watch = CallWatch()
    try watch {
      let context = try Context(Device.select())
      let tuned = context.tuned(context.tuning)
      watch.arm(.init("clWaitForEvents", occurrence: 1, status: -5))
      #expect(throws: RuntimeError.self) { try tuned.finish() }
      #expect(throws: RuntimeError.self) { try context.requireUsable() }
    }
  }

  @Test func otherTasksAreNotDisturbed() async throws {
    let watch = CallWatch()
    watch.arm(.init("clCreateContext", occurrence: 1, status: -6, lasts: true))
    try await watch {
      #expect(throws: RuntimeError.self) { try Context(Device.select()) }
      try await Task.detached { _ = try Context(Device.select()) }.value
    }
    #expect(watch.calls["clCreateContext"] == 1)
  }
}
