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
    // Under nohup the closed terminal is to be ignored.
    let before = signal(SIGHUP, stop)
    if unsafeBitCast(before, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) { signal(SIGHUP, before) }
  }
}
