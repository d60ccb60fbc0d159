import COpenCL

/// Device memory on its way to the host: the copy was queued where it was asked for, and is waited for later.
package final class PendingRead {
  private let memory: UnsafeMutableRawBufferPointer
  /// `nil` once it is known to have happened.
  private var event: Handle?
  private let context: Context

  /// Takes over memory that the command of `event` fills; without one it is filled already.
  fileprivate init(_ memory: UnsafeMutableRawBufferPointer, until event: Handle?, on context: Context) {
    self.memory = memory
    self.event = event
    self.context = context
  }

  /// Waits for the copy and hands out its first `count` floats.
  package func floats(_ count: Int) throws -> [Float] {
    try wait()
    return Array(memory.bindMemory(to: Float.self).prefix(count))
  }

  /// Waits for the copy and fills `target` from its start.
  func copy(to target: UnsafeMutableRawBufferPointer) throws {
    try wait()
    target.copyMemory(from: UnsafeRawBufferPointer(rebasing: memory.prefix(target.count)))
  }

  private func wait() throws {
    if let event { try context.wait(for: event) }
    event = nil
  }

  // Nothing may write to the memory once it is gone.
  deinit { if event?.waitForEnd() ?? true { memory.deallocate() } }
}

extension Context {
  /// Queues a copy of the start of `buffer` to the host, to be waited for later.
  package func readLater(_ buffer: Buffer, byteCount: Int) throws -> PendingRead {
    try attempt { try queueRead(buffer, byteCount: byteCount) }
  }

  /// The same, for those who give a failure its meaning.
  func queueRead(_ buffer: Buffer, byteCount: Int) throws -> PendingRead {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: max(byteCount, 4), alignment: 64)
    guard !isRehearsal else {
      memory.initializeMemory(as: UInt8.self, repeating: 0)
      return PendingRead(memory, until: nil, on: self)
    }
    var event: cl_event?
    do {
      try openCL("clEnqueueReadBuffer") {
        $0 = clEnqueueReadBuffer(
          queue.pointer, buffer.handle.pointer, cl_bool(CL_FALSE), 0, byteCount, memory.baseAddress, 0, nil,
          &event)
      }
    } catch {
      memory.deallocate()
      throw error
    }
    let read = PendingRead(memory, until: event.map { Handle(owning: $0, .event) }, on: self)
    try queue.flush()
    return read
  }
}
