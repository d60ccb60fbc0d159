import COpenCL
import Synchronization

/// Host memory that the driver still reads from, kept until its event completes.
final class Transfers: Sendable {
  /// `@unchecked Sendable`: the allocation is owned by this value alone and only touched under the lock of
  /// ``Transfers``.
  private struct Pending: @unchecked Sendable {
    let memory: UnsafeMutableRawBufferPointer
    let event: Handle
  }

  private let pending = Mutex<[Pending]>([])

  func keep(_ memory: UnsafeMutableRawBufferPointer, until event: Handle) {
    let entry = Pending(memory: memory, event: event)
    pending.withLock { $0.append(entry) }
  }

  /// Frees what the driver has finished reading.
  ///
  /// - Throws: ``RuntimeError/deviceLost(function:status:)`` when a copy ended with an error: what was to be written is not
  ///   on the device.
  func sweep() throws {
    let failed = pending.withLock { list -> cl_int? in
      var failed: cl_int?
      list.removeAll { entry in
        guard let status = entry.event.finalStatus else { return false }
        if status != CL_COMPLETE { failed = status }
        entry.memory.deallocate()
        return true
      }
      return failed
    }
    if let failed {
      throw RuntimeError.deviceLost(
        function: "clEnqueueWriteBuffer", status: OpenCLStatus(rawValue: failed))
    }
  }

  deinit {
    pending.withLock { list in
      for entry in list where entry.event.waitForEnd() { entry.memory.deallocate() }
    }
  }
}

extension Handle {
  /// How an event's command ended, CL_COMPLETE or a negative status; `nil` while it has not, or the driver does not tell.
  var finalStatus: cl_int? {
    var status: cl_int = CL_QUEUED
    let size = MemoryLayout<cl_int>.size
    let asked: Void? = try? openCL("clGetEventInfo") {
      $0 = clGetEventInfo(
        pointer, cl_event_info(CL_EVENT_COMMAND_EXECUTION_STATUS), size, &status, nil)
    }
    return asked != nil && status <= CL_COMPLETE ? status : nil
  }

  /// Waits until an event's command is over, well or not.
  ///
  /// - Returns: false when the driver cannot say that it is: memory that the command uses must then never be freed.
  func waitForEnd() -> Bool {
    var event: cl_event? = pointer
    if (try? openCL("clWaitForEvents") { $0 = clWaitForEvents(1, &event) }) != nil { return true }
    return finalStatus != nil
  }
}
