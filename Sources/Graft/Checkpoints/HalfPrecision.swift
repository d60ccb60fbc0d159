/// Conversions from 16-bit floating-point formats, on bit patterns alone.
///
/// The standard library's `Float16` does not exist on Intel Macs. Integer arithmetic also does not depend
/// on the thread's treatment of subnormal numbers, which OpenCL runtimes may change.
enum HalfPrecision {
  /// The value of an IEEE 754 binary16 bit pattern; exact, and a NaN keeps its sign and payload.
  static func float(half bits: UInt16) -> Float {
    let sign = UInt32(bits & 0x8000) << 16
    let exponent = UInt32(bits >> 10) & 0x1f
    let fraction = UInt32(bits) & 0x3ff
    if exponent == 0x1f { return Float(bitPattern: sign | 0x7f80_0000 | fraction << 13) }
    if exponent != 0 { return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13) }
    if fraction == 0 { return Float(bitPattern: sign) }
    // Subnormal: fraction * 2^-24. Shift its first set bit to where a normal number's hidden bit stands
    // (bit 10).
    let shift = UInt32(fraction.leadingZeroBitCount) - 21
    return Float(bitPattern: sign | (113 - shift) << 23 | ((fraction << shift) & 0x3ff) << 13)
  }

  /// The value of a bfloat16 bit pattern: the upper half of a `Float`.
  static func float(brain bits: UInt16) -> Float {
    Float(bitPattern: UInt32(bits) << 16)
  }
}
