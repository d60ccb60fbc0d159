import Synchronization

/// Which faster variants give right results on an open device: each is checked once, before its first use.
package final class SelfChecks: Sendable {
  private let verdicts = Mutex<[String: Bool]>([:])

  init() {}

  /// What was found of a variant, or now is found by `check`.
  ///
  /// Two threads may check at the same time; both find the same.
  package func verdict(on variant: String, check: () -> Bool) -> Bool {
    if let known = verdicts.withLock({ $0[variant] }) { return known }
    let verdict = check()
    verdicts.withLock { $0[variant] = verdict }
    return verdict
  }
}
