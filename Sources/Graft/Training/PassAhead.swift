/// The batches of a pass, of which the first is made ahead: while the device still works on the pass before.
///
/// It asks the source for nothing that the pass itself would not ask for.
struct PassAhead {
  private let first: Task<ImageBatch?, any Error>
  private var isAtStart = true
  private var rest: AsyncThrowingStream<ImageBatch, any Error>.Iterator

  init(_ stream: AsyncThrowingStream<ImageBatch, any Error>) {
    // The iterators of a stream go on from each other.
    first = Task {
      var iterator = stream.makeAsyncIterator()
      return try await iterator.next()
    }
    rest = stream.makeAsyncIterator()
  }

  nonisolated(nonsending) mutating func next() async throws -> ImageBatch? {
    guard isAtStart else { return try await rest.next(isolation: #isolation) }
    isAtStart = false
    return try await withTaskCancellationHandler {
      try await first.value
    } onCancel: { [first] in
      first.cancel()
    }
  }

  /// Ends the pass: nobody will ask for more.
  func cancel() { first.cancel() }
}
