import COpenCL
import Synchronization

/// Device time by kernel, from the queue's own clock.
package final class Profiler: Sendable {
  package struct Entry: Sendable {
    package let kernel: String
    package var launches: Int
    package var seconds: Double
  }

  /// `@unchecked Sendable`: events are only touched under the lock.
  private struct Launch: @unchecked Sendable {
    let kernel: KernelKey
    let event: cl_event
  }

  private struct State {
    var isEnabled = false
    var launches: [Launch] = []
  }

  private let state = Mutex(State())

  var isEnabled: Bool { state.withLock { $0.isEnabled } }

  func add(_ kernel: KernelKey, _ event: cl_event) {
    let launch = Launch(kernel: kernel, event: event)
    state.withLock { $0.launches.append(launch) }
  }

  /// Starts to record launches.
  package func start() { state.withLock { $0.isEnabled = true } }

  /// Stops and sums up; the queue must be finished.
  ///
  /// Longest first.
  package func stop() -> [Entry] {
    state.withLock { state in
      state.isEnabled = false
      var entries: [String: Entry] = [:]
      for launch in state.launches {
        var start: cl_ulong = 0
        var end: cl_ulong = 0
        let size = MemoryLayout<cl_ulong>.size
        let known =
          clGetEventProfilingInfo(
            launch.event, cl_profiling_info(CL_PROFILING_COMMAND_START), size, &start, nil) == CL_SUCCESS
          && clGetEventProfilingInfo(
            launch.event, cl_profiling_info(CL_PROFILING_COMMAND_END), size, &end, nil) == CL_SUCCESS
        clReleaseEvent(launch.event)
        guard known, end >= start else { continue }
        let name = launch.kernel.function
        entries[name, default: Entry(kernel: name, launches: 0, seconds: 0)].launches += 1
        entries[name]?.seconds += Double(end - start) * 1e-9
      }
      state.launches = []
      return entries.values.sorted { $0.seconds > $1.seconds }
    }
  }
}
