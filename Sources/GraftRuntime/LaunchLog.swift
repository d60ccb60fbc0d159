import Synchronization

/// What was launched, in words: equal logs are equal work, whatever the tuning.
package final class LaunchLog: Sendable {
  /// What was launched.
  package let kernels = KernelList()
  private let entries = Mutex<[String]>([])

  /// The launches so far, first to last.
  package var launches: [String] { entries.withLock { $0 } }

  func add(_ kernel: KernelKey, over global: [Int], group: [Int], _ arguments: [any KernelArgument]) {
    let values = arguments.map { $0 is Buffer ? "buffer" : "\($0)" }
    let entry = "\(kernel.file).\(kernel.function) \(kernel.options) \(global) \(group) \(values)"
    kernels.add(kernel)
    entries.withLock { $0.append(entry) }
  }
}
