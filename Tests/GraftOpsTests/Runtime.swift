import GraftRuntime
import Testing

/// What the runtime under test cannot do, each with its reason: the only grounds on which a test is skipped.
enum Runtime {
  private static let traits = try? Device.select().traits

  /// Compiles in milliseconds and runs kernels at a processor's speed.
  static let isFast =
    traits.map { Set($0.quirks).isDisjoint(with: [.interpretsKernels, .slowPrivateVectors]) } ?? true
  static let slowReason: Comment =
    "Oclgrind interprets kernels and llvmpipe compiles for minutes: the operations run there once, not under six limits"
}
