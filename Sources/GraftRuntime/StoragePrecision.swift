/// How numbers that never change, such as a backbone's weights, are kept in memory.
///
/// Arithmetic is fp32, but for bf16 on processors that multiply bf16 themselves (``DeviceTraits/hasDotProduct``): there
/// what is multiplied with the weights, or in attention, is rounded to bf16 too, and sums stay fp32. Adapters, their
/// gradients, norms and softmax are fp32 everywhere. `GRAFT_MATMUL=cpuRegisterTiled` keeps fp32 arithmetic there, too.
/// A GPU's matrix units (``DeviceTraits/matrixUnit``) round alike, once `graft tune` found them faster or `GRAFT_MATMUL=matrixUnits`
/// asks for them.
public enum StoragePrecision: String, Sendable, Codable, CaseIterable {
  /// 32 bits: nothing is lost.
  case fp32
  /// bfloat16: half the memory, fp32's range, 8 significant bits.
  case bf16
  /// IEEE half: half the memory, 11 significant bits, nothing above 65,504.
  case fp16

  /// What Kernels/common.cl knows it by.
  package var macro: Int {
    switch self {
    case .fp32: 0
    case .bf16: 1
    case .fp16: 2
    }
  }
}
