import Synchronization

/// Results of numbered jobs, made by several workers out of order, handed over in order, and never more than
/// `window` ahead of the consumer.
///
/// Workers `claim` a job and `deposit` its result; the consumer takes results with `next`. A worker that runs too
/// far ahead is suspended until the consumer catches up. `cancel` ends everyone's waiting.
final class OrderedPrefetch<Value: Sendable>: Sendable {
  private struct State {
    var claimed = 0
    var delivered = 0
    var results: [Int: Result<Value, any Error>] = [:]
    var waitingWorkers: [CheckedContinuation<Int?, Never>] = []
    var waitingConsumer: CheckedContinuation<Result<Value, any Error>?, Never>?
    var isCancelled = false
  }

  private let state = Mutex(State())
  private let count: Int
  private let window: Int

  init(count: Int, window: Int) {
    precondition(window > 0)
    self.count = count
    self.window = window
  }

  /// The number of a job to do, as soon as there is room for its result; nil when nothing is left to do.
  func claim() async -> Int? {
    await withCheckedContinuation { (continuation: CheckedContinuation<Int?, Never>) in
      let answer: Int?? = state.withLock { state in
        if state.isCancelled || state.claimed == count { return .some(nil) }
        if let job = claimJob(&state) { return job }
        state.waitingWorkers.append(continuation)
        return nil
      }
      if let answer { continuation.resume(returning: answer) }
    }
  }

  /// Hands in the result of a claimed job.
  func deposit(_ job: Int, _ result: Result<Value, any Error>) {
    let consumer = state.withLock { state -> CheckedContinuation<Result<Value, any Error>?, Never>? in
      if state.isCancelled { return nil }
      guard job == state.delivered, let consumer = state.waitingConsumer else {
        state.results[job] = result
        return nil
      }
      state.waitingConsumer = nil
      state.delivered += 1
      return consumer
    }
    if let consumer {
      consumer.resume(returning: result)
      wakeWorkers()
    }
  }

  /// The next result in order; nil after the last.
  ///
  /// - Throws: The job's error, or `CancellationError` when the consumer's task was cancelled.
  func next() async throws -> Value? {
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { (continuation: CheckedContinuation<Result<Value, any Error>?, Never>) in
        let answer: Result<Value, any Error>?? = state.withLock { state in
          if state.isCancelled { return .some(.failure(CancellationError())) }
          if state.delivered == count { return .some(nil) }
          if let result = state.results.removeValue(forKey: state.delivered) {
            state.delivered += 1
            return result
          }
          precondition(state.waitingConsumer == nil, "a stream of batches has one consumer")
          state.waitingConsumer = continuation
          return nil
        }
        if let answer { continuation.resume(returning: answer) }
      }
    } onCancel: {
      cancel()
    }
    wakeWorkers()
    return try result?.get()
  }

  /// Ends the work: workers find nothing more to claim, a waiting consumer gets a `CancellationError`.
  func cancel() {
    let (workers, consumer) = state.withLock { state in
      let waiting = (state.waitingWorkers, state.waitingConsumer)
      state.isCancelled = true
      state.results = [:]
      state.waitingWorkers = []
      state.waitingConsumer = nil
      return waiting
    }
    for worker in workers { worker.resume(returning: nil) }
    consumer?.resume(returning: .failure(CancellationError()))
  }

  private func claimJob(_ state: inout State) -> Int? {
    guard state.claimed < count, state.claimed - state.delivered < window else { return nil }
    state.claimed += 1
    return state.claimed - 1
  }

  /// Gives jobs to workers that wait for room, and sends them home when no job is left.
  private func wakeWorkers() {
    while true {
      let woken = state.withLock { state -> (CheckedContinuation<Int?, Never>, Int?)? in
        guard !state.waitingWorkers.isEmpty else { return nil }
        let job = claimJob(&state)
        guard job != nil || state.claimed == count else { return nil }
        return (state.waitingWorkers.removeLast(), job)
      }
      guard let (worker, job) = woken else { return }
      worker.resume(returning: job)
    }
  }
}
