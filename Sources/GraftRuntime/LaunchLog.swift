import Synchronization

/// A kernel, what it runs over and what it is given: equal launches are equal work.
package struct Launch: Hashable, Sendable {
  /// The kernel.
  package let kernel: KernelKey
  /// Work-items along each dimension, before they are rounded up to whole groups.
  package let global: [Int]
  /// Work-items of a group along each dimension.
  package let group: [Int]
  /// Numbers as they are, memory as "buffer"; empty in a rehearsal.
  package let arguments: [String]
}

/// What was launched, or would have been in a rehearsal.
package final class LaunchLog: Sendable {
  private let entries = Mutex<[Launch]>([])

  /// The launches so far, first to last.
  package var launches: [Launch] { entries.withLock { $0 } }

  /// Their kernels, each once, in the order of their first launch.
  package var kernels: [KernelKey] {
    var known: Set<KernelKey> = []
    return launches.map(\.kernel).filter { known.insert($0).inserted }
  }

  func add(
    _ kernel: KernelKey, over global: [Int], group: [Int], _ arguments: [any KernelArgument] = []
  ) {
    let values = arguments.map { $0 is Buffer ? "buffer" : "\($0)" }
    let launch = Launch(kernel: kernel, global: global, group: group, arguments: values)
    entries.withLock { $0.append(launch) }
  }
}
