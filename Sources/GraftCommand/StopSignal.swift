import Foundation
import Synchronization

/// Ctrl-C, as a question that training asks after every step.
enum StopSignal {
  private static let raised = Atomic<Bool>(false)

  static var isRaised: Bool { raised.load(ordering: .relaxed) }

  static func install() {
    let stop: @convention(c) (Int32) -> Void = { number in
      StopSignal.raised.store(true, ordering: .relaxed)
      // A second Ctrl-C ends the process at once; the last checkpoint is whole.
      signal(number, SIG_DFL)
    }
    signal(SIGINT, stop)
    signal(SIGTERM, stop)
  }
}
