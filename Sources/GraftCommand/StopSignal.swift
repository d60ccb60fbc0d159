import GraftSystem
import Synchronization

/// Ctrl-C, a closed terminal or a polite kill, as a question that training asks after every step.
enum StopSignal {
  private static let raised = Atomic<Bool>(false)

  /// Whether a signal asked for the end.
  static var isRaised: Bool { raised.load(ordering: .relaxed) }

  /// Whether to finish the step, save and end: after a signal, or when nobody reads the output any more, as in
  /// `graft train | tee` where tee was killed first.
  static var isWanted: Bool { isRaised || Reporter.isLeft }

  static func install() {
    let stop: @convention(c) (Int32) -> Void = { number in
      StopSignal.raised.store(true, ordering: .relaxed)
      // A second Ctrl-C ends the process at once; the last checkpoint is whole.
      signal(number, SIG_DFL)
    }
    signal(SIGINT, stop)
    signal(SIGTERM, stop)
    signal(SIGHUP, ignoresHangUp.load(ordering: .relaxed) ? SIG_IGN : stop)
  }

  /// Under nohup a closed terminal is to be ignored; asked before drivers set handlers of their own (PoCL's compiler does).
  static func prepare() {
    let before = signal(SIGHUP, SIG_IGN)
    signal(SIGHUP, before)
    ignoresHangUp.store(
      unsafeBitCast(before, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self), ordering: .relaxed)
  }

  private static let ignoresHangUp = Atomic<Bool>(false)
}
