import COpenCL
import Synchronization

/// Counts the OpenCL calls of a task and the objects that live, and makes calls fail: for tests.
///
/// A watch is seen by the task that runs inside it and by no other, so tests beside it go on undisturbed. Where
/// nobody watches, a call costs one relaxed load more.
package final class CallWatch: Sendable {
  /// A call that is to fail.
  package struct Fault: Sendable, CustomStringConvertible {
    package let function: String
    let occurrence: Int
    let status: OpenCLStatus
    let lasts: Bool

    package var description: String { "call \(occurrence) of \(function) answers \(status)" }

    /// - Parameters:
    ///   - function: name of the call.
    ///   - occurrence: which of its calls since ``CallWatch/arm(_:)``, from 1.
    ///   - status: what the driver is to answer.
    ///   - lasts: every later call of any name fails alike, as on a device that is gone.
    package init(_ function: String, occurrence: Int, status: Int32, lasts: Bool = false) {
      self.function = function
      self.occurrence = occurrence
      self.status = OpenCLStatus(rawValue: status)
      self.lasts = lasts
    }
  }

  private struct State {
    var calls: [String: Int] = [:]
    var live: [Handle.Kind: Int] = [:]
    var fault: Fault?
    var hasFired = false
  }

  @TaskLocal private static var watch: CallWatch?
  private static let watches = Atomic<Int>(0)
  private let state = Mutex(State())

  package init() {}

  /// The watch of the running task.
  static var current: CallWatch? { watches.load(ordering: .relaxed) == 0 ? nil : watch }

  /// Calls since ``arm(_:)``, by name.
  package var calls: [String: Int] { state.withLock { $0.calls } }
  /// Whether the fault has struck.
  package var hasFired: Bool { state.withLock { $0.hasFired } }
  /// OpenCL objects that were made inside and not released yet, by type; none counts as no entry.
  package var live: [String: Int] {
    state.withLock { state in
      Dictionary(
        uniqueKeysWithValues: state.live.filter { $0.value != 0 }.map { ($0.key.rawValue, $0.value) })
    }
  }

  /// Counts calls anew and lets the fault lie in wait.
  package func arm(_ fault: Fault? = nil) {
    state.withLock { state in
      (state.calls, state.fault, state.hasFired) = ([:], fault, false)
    }
  }

  /// Runs `body` under this watch.
  package func callAsFunction<Value>(_ body: () throws -> Value) rethrows -> Value {
    Self.watches.add(1, ordering: .relaxed)
    defer { Self.watches.subtract(1, ordering: .relaxed) }
    return try Self.$watch.withValue(self, operation: body)
  }

  /// Runs `body` under this watch.
  nonisolated(nonsending) package func callAsFunction<Value>(
    _ body: nonisolated(nonsending) () async throws -> Value
  ) async rethrows -> Value {
    Self.watches.add(1, ordering: .relaxed)
    defer { Self.watches.subtract(1, ordering: .relaxed) }
    return try await Self.$watch.withValue(self, operation: body)
  }

  /// What a call is to answer in place of the driver.
  ///
  /// `isLate`: the call does its work first. Whoever waits learns of a failure when the work is over, and what a
  /// destructor releases is gone whatever the driver says.
  static func fault(of function: StaticString) -> (status: OpenCLStatus, isLate: Bool)? {
    guard let status = current?.status(of: "\(function)") else { return nil }
    let name = "\(function)"
    return (status, name == "clWaitForEvents" || name.hasPrefix("clRelease"))
  }

  private func status(of function: String) -> OpenCLStatus? {
    state.withLock { state in
      state.calls[function, default: 0] += 1
      guard let fault = state.fault else { return nil }
      if state.hasFired { return fault.lasts ? fault.status : nil }
      guard fault.function == function, state.calls[function] == fault.occurrence else { return nil }
      state.hasFired = true
      return fault.status
    }
  }

  func made(_ kind: Handle.Kind) { state.withLock { $0.live[kind, default: 0] += 1 } }
  func released(_ kind: Handle.Kind) { state.withLock { $0.live[kind, default: 0] -= 1 } }
}
