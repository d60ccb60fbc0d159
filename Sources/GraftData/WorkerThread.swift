import Dispatch

/// A thread of one worker's own.
///
/// Swift's shared threads are as many as cores, and a trainer that waits for its device holds one of them: on two cores
/// half of the decoding would stand still meanwhile.
final class WorkerThread: TaskExecutor {
  // A serial queue gets a thread whenever it has work, however many others are busy.
  private let queue = DispatchQueue(label: "graft.worker")

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    queue.async { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
  }
}

extension OrderedPrefetch {
  /// Starts workers on threads of their own; they end with the last job, or when the queue is cancelled.
  func start(
    workers: Int, _ work: @escaping @Sendable (_ job: Int) -> Result<Value, any Error>
  ) {
    for _ in 0..<workers {
      Task(executorPreference: WorkerThread()) {
        while let job = await self.claim() { self.deposit(job, work(job)) }
      }
    }
  }
}
