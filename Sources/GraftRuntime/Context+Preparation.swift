import Dispatch
import GraftSystem
import Synchronization

extension Context {
  /// Compiles kernels on other threads while `body` does what does not need them, such as reading weights; both are done
  /// when it returns.
  ///
  /// Nothing fails for the sake of the kernels: what cannot be compiled is tried again by whoever launches it.
  ///
  /// - Parameters:
  ///   - kernels: asked for on another thread.
  ///   - body: runs on this one.
  package func preparing<Result>(
    _ kernels: @escaping @Sendable () throws -> [KernelKey], while body: () throws -> Result
  ) rethrows -> Result {
    // A watch counts the calls of its own task, and Oclgrind has no locks.
    guard CallWatch.current == nil, !traits.quirks.contains(.interpretsKernels) else { return try body() }
    let preparation = Preparation(kernels: self.kernels)
    let group = DispatchGroup()
    DispatchQueue.global().async(group: group) { [traits] in
      guard let kernels = try? kernels() else { return }
      preparation.add(kernels)
      for _ in 1..<max(1, traits.buildThreads) {
        DispatchQueue.global().async(group: group) { preparation.work() }
      }
      preparation.work()
    }
    // No thread is left behind in the driver: it might outlive the process's own tidying up.
    defer { group.wait() }
    do { return try body() } catch {
      preparation.cancel()
      throw error
    }
  }
}

extension DeviceTraits {
  /// Threads that compile at a time, as far as the driver lets them.
  ///
  /// PoCL 3.1 compiles under one lock, whatever the context: measured with two threads in two contexts, each waited as
  /// long as the other compiled.
  fileprivate var buildThreads: Int {
    platform.contains("Portable Computing Language") ? 1 : processorCount
  }
}

/// Kernels that wait for threads to compile them.
private final class Preparation: Sendable {
  private let library: KernelLibrary
  private let waiting = Mutex<[KernelKey]>([])
  private let isCancelled = Atomic(false)

  init(kernels: KernelLibrary) { library = kernels }

  func add(_ kernels: [KernelKey]) { waiting.withLock { $0 += kernels.reversed() } }

  func cancel() { isCancelled.store(true, ordering: .relaxed) }

  /// Compiles until none is left.
  func work() {
    while !isCancelled.load(ordering: .relaxed), let next = waiting.withLock({ $0.popLast() }) {
      library.prepare(next)
    }
  }
}
