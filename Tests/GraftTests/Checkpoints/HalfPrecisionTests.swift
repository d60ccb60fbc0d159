import Foundation
import Testing

@testable import Graft

@Suite("Checkpoint half precision")
struct CheckpointHalfPrecisionTests {
  /// The value that IEEE 754 gives a format with these many exponent and fraction bits; NaN aside.
  private func reference(_ bits: UInt16, exponentBits: Int, fractionBits: Int) -> Double {
    let fraction = Int(bits) & (1 << fractionBits - 1)
    let exponent = Int(bits) >> fractionBits & (1 << exponentBits - 1)
    let bias = 1 << (exponentBits - 1) - 1
    let sign: Double = bits & 0x8000 == 0 ? 1 : -1
    if exponent == 1 << exponentBits - 1 { return fraction == 0 ? sign * .infinity : .nan }
    let mantissa = Double(fraction) / Double(1 << fractionBits) + (exponent == 0 ? 0 : 1)
    return sign * mantissa * pow(2, Double(max(exponent, 1) - bias))
  }

  @Test("Every bit pattern of binary16")
  func half() {
    let wrong = (0...UInt16.max).filter { bits in
      let value = HalfPrecision.float(half: bits)
      let expected = reference(bits, exponentBits: 5, fractionBits: 10)
      return expected.isNaN
        ? !value.isNaN || (value.sign == .minus) != (bits & 0x8000 != 0)
        : Double(value).bitPattern != expected.bitPattern
    }
    #expect(wrong.isEmpty)
  }

  @Test("Every bit pattern of bfloat16")
  func brain() {
    let wrong = (0...UInt16.max).filter { bits in
      let value = HalfPrecision.float(brain: bits)
      let expected = reference(bits, exponentBits: 8, fractionBits: 7)
      return expected.isNaN ? !value.isNaN : Double(value).bitPattern != expected.bitPattern
    }
    #expect(wrong.isEmpty)
  }
}
