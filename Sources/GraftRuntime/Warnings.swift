import Logging

/// What an app's developer should know, though work goes on: written to a logger called "graft", which goes where the
/// app sends its logs (`LoggingSystem.bootstrap` of swift-log).
package enum Warnings {
  /// The logger that tells of compilation: people at a terminal want to know, and nobody else.
  package static let compilationLabel = "graft.compilation"

  /// A faster variant that disagreed with the baseline at its self-check, or could not be checked.
  static func switchedOff(_ variant: String, on device: String, fault: String) {
    log.warning(
      "\(variant) \(fault) on \(device): it is switched off, the baseline is used. Please report it.")
  }

  /// What a driver gets wrong and Graft cannot work around.
  static func limits(of traits: DeviceTraits) {
    guard traits.quirks.contains(.endsLongLoops) else { return }
    log.warning(
      """
      \(traits.name) leaves a kernel's loops after 65,535 iterations and says nothing: large batches and long sequences \
      may come out wrong. On a CPU, use PoCL.
      """)
  }

  /// The first start on a device takes long.
  static func compiling() {
    Logger(label: compilationLabel).notice("Compiling kernels for this device, once.")
  }

  /// Made anew each time: an app may send its logs elsewhere after the first.
  private static var log: Logger { Logger(label: "graft") }
}
