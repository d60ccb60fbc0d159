/// The safetensors format: an 8-byte length, a JSON header, and the tensors' bytes.
///
/// ``SafetensorsFile`` reads it, the `write` functions here write it.
public enum Safetensors {
  /// What a tensor's elements are; the raw value is the format's own name.
  ///
  /// Graft computes with `f32`, `f16` and `bf16`; the others may lie beside them.
  public enum ElementType: String, Sendable, Codable, CaseIterable {
    /// 64-bit floating point.
    case f64 = "F64"
    /// 32-bit floating point.
    case f32 = "F32"
    /// 16-bit floating point (IEEE 754 binary16).
    case f16 = "F16"
    /// 16-bit floating point with the exponent of `f32`.
    case bf16 = "BF16"
    /// 8-bit floating point with 4 bits of exponent and 3 of mantissa.
    case f8e4m3 = "F8_E4M3"
    /// 8-bit floating point with 5 bits of exponent and 2 of mantissa.
    case f8e5m2 = "F8_E5M2"
    /// 8-bit floating point with 4 bits of exponent and 3 of mantissa, without a negative zero.
    case f8e4m3fnuz = "F8_E4M3FNUZ"
    /// 8-bit floating point with 5 bits of exponent and 2 of mantissa, without a negative zero.
    case f8e5m2fnuz = "F8_E5M2FNUZ"
    /// 8 bits of exponent alone: a scale.
    case f8e8m0 = "F8_E8M0"
    /// 6-bit floating point with 2 bits of exponent and 3 of mantissa.
    case f6e2m3 = "F6_E2M3"
    /// 6-bit floating point with 3 bits of exponent and 2 of mantissa.
    case f6e3m2 = "F6_E3M2"
    /// 4-bit floating point.
    case f4 = "F4"
    /// A complex number of two 32-bit floating-point ones.
    case c64 = "C64"
    /// 64-bit signed integer.
    case i64 = "I64"
    /// 32-bit signed integer.
    case i32 = "I32"
    /// 16-bit signed integer.
    case i16 = "I16"
    /// 8-bit signed integer.
    case i8 = "I8"
    /// 64-bit unsigned integer.
    case u64 = "U64"
    /// 32-bit unsigned integer.
    case u32 = "U32"
    /// 16-bit unsigned integer.
    case u16 = "U16"
    /// 8-bit unsigned integer.
    case u8 = "U8"
    /// One byte, 0 or 1.
    case bool = "BOOL"

    /// Bits an element.
    public var bits: Int {
      switch self {
      case .f64, .i64, .u64, .c64: 64
      case .f32, .i32, .u32: 32
      case .f16, .bf16, .i16, .u16: 16
      case .f8e4m3, .f8e5m2, .f8e4m3fnuz, .f8e5m2fnuz, .f8e8m0, .i8, .u8, .bool: 8
      case .f6e2m3, .f6e3m2: 6
      case .f4: 4
      }
    }

    /// Whether elements are read as weights.
    var isOfWeights: Bool { [.f64, .f32, .f16, .bf16].contains(self) }

    /// Whether elements are what quantisation makes of weights.
    var isOfQuantised: Bool { bits <= 8 && self != .bool }

    /// Whether a type of another version may have this name: letters with a number of bits, such as `F8_E4M3`.
    static func mayBeName(_ name: String) -> Bool {
      let (upper, digits) = (
        UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9")
      )
      return name.utf8.count <= 32 && name.utf8.first.map(upper.contains) == true
        && name.utf8.contains(where: digits.contains)
        && name.utf8.allSatisfy {
          upper.contains($0) || digits.contains($0) || $0 == UInt8(ascii: "_")
        }
    }

    /// Bytes of so many elements; `nil` where they overflow, or are no whole bytes.
    func bytes(of count: Int) -> Int? {
      // Eight elements are whole bytes of every type.
      let (eights, rest) = count.quotientAndRemainder(dividingBy: 8)
      let (most, overflow) = eights.multipliedReportingOverflow(by: bits)
      let (sum, carry) = most.addingReportingOverflow(rest * bits / 8)
      return overflow || carry || rest * bits % 8 != 0 ? nil : sum
    }
  }

  /// Largest header that is read or written, in bytes.
  static let maximumHeaderBytes = 16 << 20
  /// Largest number of tensors in a file.
  static let maximumTensors = 100_000
  /// Largest number of dimensions of a tensor.
  static let maximumRank = 8
  /// The header's key that is not a tensor.
  static let metadataKey = "__metadata__"

  /// The product of dimensions; nil where it, or the product of those that are not zero, overflows.
  ///
  /// Leaving out the zeros makes the answer independent of the order, so that no later product of the same
  /// dimensions can overflow either.
  static func elementCount(_ shape: [Int]) -> Int? {
    var product = 1
    for dimension in shape where dimension != 0 {
      let (next, overflow) = product.multipliedReportingOverflow(by: dimension)
      if overflow || dimension < 0 { return nil }
      product = next
    }
    return shape.contains(0) ? 0 : product
  }

  /// Whether a name comes before another: by the bytes of their UTF-8, whatever the locale.
  static func precedes(_ first: String, _ second: String) -> Bool {
    first.utf8.lexicographicallyPrecedes(second.utf8)
  }
}
