import COpenCL
import Synchronization

/// Device time by kernel, from the queue's own clock.
package final class Profiler: Sendable {
  package struct Entry: Sendable {
    package let kernel: String
    package var launches: Int
    package var seconds: Double
  }

  private struct Launch {
    let kernel: KernelKey
    let event: Handle
  }

  private struct State {
    var isEnabled = false
    var launches: [Launch] = []
  }

  private let state = Mutex(State())

  var isEnabled: Bool { state.withLock { $0.isEnabled } }

  func add(_ kernel: KernelKey, _ event: Handle) {
    let launch = Launch(kernel: kernel, event: event)
    state.withLock { $0.launches.append(launch) }
  }

  /// Starts to record launches.
  func start() { state.withLock { $0.isEnabled = true } }

  /// Stops and sums up; the queue must be finished.
  ///
  /// Longest first.
  func stop() -> [Entry] {
    state.withLock { state in
      state.isEnabled = false
      var entries: [String: Entry] = [:]
      for launch in state.launches {
        guard let start = launch.event.time(CL_PROFILING_COMMAND_START),
          let end = launch.event.time(CL_PROFILING_COMMAND_END), end >= start
        else { continue }
        let name = launch.kernel.function
        entries[name, default: Entry(kernel: name, launches: 0, seconds: 0)].launches += 1
        entries[name]?.seconds += Double(end - start) * 1e-9
      }
      state.launches = []
      return entries.values.sorted { $0.seconds > $1.seconds }
    }
  }
}

extension Context {
  /// Device time of what `body` launches, by kernel, longest first; on a queue that times its kernels.
  ///
  /// Other tasks must not use the context meanwhile: their launches would count.
  package func profile(_ body: () throws -> Void) throws -> [Profiler.Entry] {
    try finish()
    try attempt { try queue.setTiming(true) }
    profiler.start()
    let result = Result {
      try body()
      try finish()
    }
    let entries = profiler.stop()
    try attempt { try queue.setTiming(false) }
    try result.get()
    return entries
  }
}

extension Handle {
  /// When an event's command reached a state, in nanoseconds; `nil` where the driver does not tell.
  fileprivate func time(_ state: Int32) -> cl_ulong? {
    var time: cl_ulong = 0
    let asked: Void? = try? openCL("clGetEventProfilingInfo") {
      $0 = clGetEventProfilingInfo(
        pointer, cl_profiling_info(state), MemoryLayout<cl_ulong>.size, &time, nil)
    }
    return asked == nil ? nil : time
  }
}
