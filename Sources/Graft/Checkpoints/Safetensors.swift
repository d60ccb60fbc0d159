/// The safetensors format: an 8-byte length, a JSON header, and the tensors' bytes.
///
/// ``SafetensorsFile`` reads it, the `write` functions here write it.
public enum Safetensors {
  /// What a tensor's elements are; the raw value is the format's own name.
  public enum ElementType: String, Sendable, Codable, CaseIterable {
    /// 64-bit floating point.
    case f64 = "F64"
    /// 32-bit floating point.
    case f32 = "F32"
    /// 16-bit floating point (IEEE 754 binary16).
    case f16 = "F16"
    /// 16-bit floating point with the exponent of `f32`.
    case bf16 = "BF16"
    /// 64-bit signed integer.
    case i64 = "I64"
    /// 32-bit signed integer.
    case i32 = "I32"
    /// 16-bit signed integer.
    case i16 = "I16"
    /// 8-bit signed integer.
    case i8 = "I8"
    /// 8-bit unsigned integer.
    case u8 = "U8"
    /// One byte, 0 or 1.
    case bool = "BOOL"

    /// Bytes an element.
    public var size: Int {
      switch self {
      case .f64, .i64: 8
      case .f32, .i32: 4
      case .f16, .bf16, .i16: 2
      case .i8, .u8, .bool: 1
      }
    }
  }

  /// What a file's header says about one tensor.
  public struct TensorInfo: Equatable, Sendable {
    /// What its elements are.
    public let type: ElementType
    /// Its dimensions, outermost first; empty for a scalar.
    public let shape: [Int]
    /// Number of elements: the product of `shape`.
    public let count: Int
    /// Where its bytes lie, counted from the end of the header.
    public let byteRange: Range<Int>
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
