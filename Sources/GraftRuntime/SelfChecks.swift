import Synchronization

/// Which faster variants give right results on an open device: each is checked once, before its first use.
package final class SelfChecks: Sendable {
  private let verdicts = Mutex<[String: Bool]>([:])

  private let device: String

  init(device: String) { self.device = device }

  /// Takes a variant for right without a check, to list what a device would be given where it is.
  package func trust(_ variant: String) { verdicts.withLock { $0[variant] = true } }

  /// Takes a variant for wrong without a check here, which might take the process with it, and names it in the log.
  ///
  /// - Parameter fault: what it did, such as "crashed".
  package func reject(_ variant: String, fault: String) {
    verdicts.withLock { $0[variant] = false }
    Warnings.switchedOff(variant, on: device, fault: fault)
  }

  /// What was found of a variant, or now is found by `check`.
  ///
  /// One that fails is named in the log. Two threads may check at the same time; both find the same.
  package func verdict(on variant: String, check: () -> Bool) -> Bool {
    if let known = verdicts.withLock({ $0[variant] }) { return known }
    let verdict = check()
    let isFirst = verdicts.withLock { $0.updateValue(verdict, forKey: variant) == nil }
    if !verdict, isFirst { Warnings.switchedOff(variant, on: device, fault: "failed its self-check") }
    return verdict
  }
}
