import COpenCL

/// Device memory on its way to the host: the copy was queued where it was asked for, and is waited for later.
package final class PendingRead {
  private let memory: UnsafeMutableRawBufferPointer
  private var event: cl_event?

  init(byteCount: Int, queue: Handle, buffer: Buffer) throws {
    memory = UnsafeMutableRawBufferPointer.allocate(byteCount: max(byteCount, 4), alignment: 64)
    do {
      try openCL("clEnqueueReadBuffer") {
        $0 = clEnqueueReadBuffer(
          queue.pointer, buffer.handle.pointer, cl_bool(CL_FALSE), 0, byteCount, memory.baseAddress, 0, nil,
          &event)
      }
      try openCL("clFlush") { $0 = clFlush(queue.pointer) }
    } catch {
      // Nothing may write to the memory once it is gone.
      if event != nil { clWaitForEvents(1, &event) }
      if let event { clReleaseEvent(event) }
      memory.deallocate()
      throw error
    }
  }

  /// Waits for the copy and hands out its first `count` floats.
  package func floats(_ count: Int) throws -> [Float] {
    if event != nil { try openCL("clWaitForEvents") { $0 = clWaitForEvents(1, &event) } }
    return Array(memory.bindMemory(to: Float.self).prefix(count))
  }

  /// What a rehearsal reads.
  init(zeros byteCount: Int) {
    memory = UnsafeMutableRawBufferPointer.allocate(byteCount: max(byteCount, 4), alignment: 64)
    memory.initializeMemory(as: UInt8.self, repeating: 0)
  }

  deinit {
    if event != nil { clWaitForEvents(1, &event) }
    if let event { clReleaseEvent(event) }
    memory.deallocate()
  }
}

extension Context {
  /// Queues a copy of the start of `buffer` to the host, to be waited for later.
  package func readLater(_ buffer: Buffer, byteCount: Int) throws -> PendingRead {
    isRehearsal
      ? PendingRead(zeros: byteCount) : try PendingRead(byteCount: byteCount, queue: queue, buffer: buffer)
  }
}
