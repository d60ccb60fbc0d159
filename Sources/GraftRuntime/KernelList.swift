import Synchronization

/// The kernels that were launched, each once, in the order of their first launch.
package final class KernelList: Sendable {
  private struct State {
    var kernels: [KernelKey] = []
    var known: Set<KernelKey> = []
  }

  private let state = Mutex(State())

  package init() {}

  package var kernels: [KernelKey] { state.withLock { $0.kernels } }

  func add(_ kernel: KernelKey) {
    state.withLock { state in
      if state.known.insert(kernel).inserted { state.kernels.append(kernel) }
    }
  }
}
