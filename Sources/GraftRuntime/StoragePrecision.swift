/// How numbers that never change, such as a backbone's weights, are kept in memory; arithmetic is fp32 throughout.
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
