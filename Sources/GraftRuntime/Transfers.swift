import COpenCL
import Synchronization

/// Host memory that the driver still reads from, kept until its event completes.
final class Transfers: Sendable {
  /// `@unchecked Sendable`: the allocation and the event are owned by this value alone and only touched under
  /// the lock of ``Transfers``.
  private struct Pending: @unchecked Sendable {
    let memory: UnsafeMutableRawBufferPointer
    let event: cl_event?
  }

  private let pending = Mutex<[Pending]>([])

  func keep(_ memory: UnsafeMutableRawBufferPointer, until event: cl_event?) {
    let entry = Pending(memory: memory, event: event)
    pending.withLock { $0.append(entry) }
    sweep()
  }

  /// Frees what the driver has finished reading.
  func sweep() {
    pending.withLock { list in
      list.removeAll { entry in
        guard let event = entry.event else { return false }
        var status: cl_int = 0
        let asked = clGetEventInfo(
          event, cl_event_info(CL_EVENT_COMMAND_EXECUTION_STATUS), MemoryLayout<cl_int>.size, &status, nil)
        // CL_COMPLETE is 0; a negative status is a command that ended with an error.
        guard asked == CL_SUCCESS, status <= CL_COMPLETE else { return false }
        clReleaseEvent(event)
        entry.memory.deallocate()
        return true
      }
    }
  }

  deinit {
    pending.withLock { list in
      for entry in list {
        var event = entry.event
        if event != nil { clWaitForEvents(1, &event) }
        if let event { clReleaseEvent(event) }
        entry.memory.deallocate()
      }
    }
  }
}
