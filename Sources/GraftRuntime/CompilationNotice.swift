import GraftSystem
import Synchronization

/// Says once that kernels are being compiled, where that takes time that people notice.
///
/// Drivers do not tell whether they compile or read what they have kept. PoCL's folder does: a program that it compiles
/// is new there. Other drivers are judged by the time alone.
final class CompilationNotice: Sendable {
  private struct State {
    var spent = Duration.zero
    var isOver = false
    var kept: Int?
  }

  /// What people notice.
  private static let threshold = Duration.milliseconds(500)
  /// Programs that the driver has kept so far; `nil` where it does not show them.
  private let countKept: @Sendable () -> Int?
  private let tell: @Sendable () -> Void
  private let state = Mutex(State())

  convenience init(traits: DeviceTraits) {
    let isPoCL = traits.platform.contains("Portable Computing Language")
    self.init(countKept: { isPoCL ? PoCLCache.programCount() : nil }, tell: { Warnings.compiling() })
  }

  init(countKept: @escaping @Sendable () -> Int?, tell: @escaping @Sendable () -> Void) {
    (self.countKept, self.tell) = (countKept, tell)
  }

  /// Runs a build and counts its time.
  func timing<Result>(_ build: () throws -> Result) rethrows -> Result {
    state.withLock { state in
      if state.kept == nil, !state.isOver { state.kept = countKept() }
    }
    let start = ContinuousClock.now
    defer { add(start.duration(to: .now)) }
    return try build()
  }

  func add(_ time: Duration) {
    let isNews = state.withLock { state in
      guard !state.isOver else { return false }
      state.spent += time
      guard state.spent > Self.threshold else { return false }
      if let kept = state.kept, countKept() == kept {
        // Time that the driver took to read: it counts anew.
        state.spent = .zero
        return false
      }
      state.isOver = true
      return true
    }
    if isNews { tell() }
  }
}
