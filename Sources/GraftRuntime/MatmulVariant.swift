/// Ways to compute a matrix product.
public enum MatmulVariant: String, CaseIterable, Sendable, Codable {
  /// A tile in vector registers, one work-item a group: for CPUs.
  case cpuRegisterTiled
  /// The same on pairs of bf16, by a processor's dot-product instruction: for weights in bf16 on CPUs that have it.
  case cpuDotProduct
  /// A tile in local memory: for GPUs.
  case localMemoryTiled
  /// By a GPU's matrix units, of bf16: for weights in bf16 on GPUs that have them, where asked for or tuned.
  case matrixUnits
  /// The CLBlast library, where the package was built with the trait of that name.
  case clblast

  /// Multiplies bf16, in which both operands are rounded, and nothing else.
  package var multipliesBFloats: Bool { self == .cpuDotProduct || self == .matrixUnits }

  /// True when this build has the variant.
  public var isAvailable: Bool {
    #if CLBlast
      true
    #else
      self != .clblast
    #endif
  }
}
