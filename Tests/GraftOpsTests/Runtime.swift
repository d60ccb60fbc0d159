import GraftOps
import GraftRuntime
import Testing

/// What the runtime under test cannot do, each with its reason: the only grounds on which a test is skipped.
enum Runtime {
  private static let quirks = (try? Device.select().traits.quirks) ?? []

  static let runsKernels = !quirks.contains(.interpretsKernels)
  static let runsKernelsReason: Comment =
    "Oclgrind interprets kernels: the operations run there once, not under six limits"

  static let compilesRegisterTiles = !quirks.contains(.slowPrivateVectors)
  static let registerTilesReason: Comment =
    "llvmpipe compiles a register tile for minutes, and Graft chooses none there: the variants for CPUs are left out"
  static let attentionVariants = AttentionVariant.allCases.filter { compilesRegisterTiles || $0 != .cpu }
}
