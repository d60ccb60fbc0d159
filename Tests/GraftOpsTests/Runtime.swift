import Foundation
import GraftOps
import GraftRuntime
import Testing

/// What the runtime under test cannot do, each with its reason: the only grounds on which a test is skipped.
enum Runtime {
  private static let traits = try? Device.select().traits
  private static let quirks = traits?.quirks ?? []

  /// Tests that share out their cases take all of them each: much longer, since compiling takes most of the time.
  static let takesAll = ProcessInfo.processInfo.environment["GRAFT_LIMITS"] == "all"

  static let runsKernels = !quirks.contains(.interpretsKernels)
  static let runsKernelsReason: Comment =
    "Oclgrind interprets kernels: the operations run there once, not under six limits"

  /// Lanes of matrix units that are emulated have their registers in local memory, beside the operands.
  static let holdsEmulatedGroups = runsKernels && (traits?.localMemory ?? 0) >= 64 << 10
  static let emulatedGroupsReason: Comment = "groups of emulated lanes need 64 KiB of local memory"

  static let compilesRegisterTiles = !quirks.contains(.slowPrivateVectors)
  static let registerTilesReason: Comment =
    "llvmpipe compiles a register tile for minutes, and Graft chooses none there: the variants for CPUs are left out"
  static let dotProductReason: Comment = "the processor's bf16 dot product is not there, or cannot be reached"
  static let attentionVariants = AttentionVariant.allCases.filter {
    switch $0 {
    case .cpu: compilesRegisterTiles
    case .cpuDotProduct: traits?.hasDotProduct == true
    case .tiles: true
    }
  }
}
