/// SHA-256 (FIPS 180-4), fed piece by piece.
///
/// Written here because it is a page, while a cryptography package would be the slowest part of the build. It
/// names contents; it protects no secret.
struct SHA256 {
  private var state = SIMD8<UInt32>(
    0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19)
  private var tail: [UInt8] = []
  private var byteCount: UInt64 = 0

  /// The 32 bytes of one buffer's hash.
  static func hash(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
    var hasher = SHA256()
    hasher.update(bytes)
    return hasher.finalize()
  }

  /// Adds bytes to what is hashed.
  mutating func update(_ bytes: [UInt8]) {
    bytes.withUnsafeBytes { update($0) }
  }

  /// Adds bytes to what is hashed.
  mutating func update(_ bytes: UnsafeRawBufferPointer) {
    byteCount += UInt64(bytes.count)
    var rest = bytes[...]
    if !tail.isEmpty {
      let head = rest.prefix(64 - tail.count)
      tail += head
      rest = rest.dropFirst(head.count)
      guard tail.count == 64 else { return }
      tail.withUnsafeBytes { Self.compress(&state, $0) }
      tail.removeAll(keepingCapacity: true)
    }
    let whole = rest.count & ~63
    if whole > 0 { Self.compress(&state, UnsafeRawBufferPointer(rebasing: rest.prefix(whole))) }
    tail += rest.dropFirst(whole)
  }

  /// Ends the message and gives its 32 bytes.
  mutating func finalize() -> [UInt8] {
    let bitCount = byteCount &* 8
    let zeros = (119 - tail.count) % 64
    var end = [0x80] + [UInt8](repeating: 0, count: zeros)
    withUnsafeBytes(of: bitCount.bigEndian) { end += $0 }
    update(end)
    return (0..<8).flatMap { i in
      [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: state[i] >> UInt32($0)) }
    }
  }

  /// Absorbs whole blocks of 64 bytes.
  ///
  /// Eight rounds a turn of the loop, so that no round moves its eight variables; only operators that are
  /// inlined even without optimisation, so that a debug build stays usable.
  private static func compress(_ state: inout SIMD8<UInt32>, _ blocks: UnsafeRawBufferPointer) {
    withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 64) { buffer in
      roundConstants.withUnsafeBufferPointer { constants in
        guard let w = buffer.baseAddress, let k = constants.baseAddress, var block = blocks.baseAddress
        else { return }
        var (s0, s1, s2, s3) = (state[0], state[1], state[2], state[3])
        var (s4, s5, s6, s7) = (state[4], state[5], state[6], state[7])
        var left = blocks.count
        while left >= 64 {
          var i = 0
          while i < 16 {
            w[i] = block.loadUnaligned(fromByteOffset: i &* 4, as: UInt32.self).byteSwapped
            i = i &+ 1
          }
          while i < 64 {
            let x = w[i &- 15]
            let y = w[i &- 2]
            let p = (x &>> 7 | x &<< 25) ^ (x &>> 18 | x &<< 14) ^ (x &>> 3)
            let q = (y &>> 17 | y &<< 15) ^ (y &>> 19 | y &<< 13) ^ (y &>> 10)
            w[i] = w[i &- 16] &+ p &+ w[i &- 7] &+ q
            i = i &+ 1
          }
          var (a, b, c, d, e, f, g, h) = (s0, s1, s2, s3, s4, s5, s6, s7)
          i = 0
          while i < 64 {
            round(a, b, c, &d, e, f, g, &h, w[i] &+ k[i])
            round(h, a, b, &c, d, e, f, &g, w[i &+ 1] &+ k[i &+ 1])
            round(g, h, a, &b, c, d, e, &f, w[i &+ 2] &+ k[i &+ 2])
            round(f, g, h, &a, b, c, d, &e, w[i &+ 3] &+ k[i &+ 3])
            round(e, f, g, &h, a, b, c, &d, w[i &+ 4] &+ k[i &+ 4])
            round(d, e, f, &g, h, a, b, &c, w[i &+ 5] &+ k[i &+ 5])
            round(c, d, e, &f, g, h, a, &b, w[i &+ 6] &+ k[i &+ 6])
            round(b, c, d, &e, f, g, h, &a, w[i &+ 7] &+ k[i &+ 7])
            i = i &+ 8
          }
          (s0, s1, s2, s3) = (s0 &+ a, s1 &+ b, s2 &+ c, s3 &+ d)
          (s4, s5, s6, s7) = (s4 &+ e, s5 &+ f, s6 &+ g, s7 &+ h)
          block += 64
          left = left &- 64
        }
        state = SIMD8(s0, s1, s2, s3, s4, s5, s6, s7)
      }
    }
  }

  @inline(__always)
  private static func round(
    _ a: UInt32, _ b: UInt32, _ c: UInt32, _ d: inout UInt32,
    _ e: UInt32, _ f: UInt32, _ g: UInt32, _ h: inout UInt32, _ word: UInt32
  ) {
    let t =
      h &+ ((e &>> 6 | e &<< 26) ^ (e &>> 11 | e &<< 21) ^ (e &>> 25 | e &<< 7))
      &+ (g ^ (e & (f ^ g))) &+ word
    d = d &+ t
    let sum = (a &>> 2 | a &<< 30) ^ (a &>> 13 | a &<< 19) ^ (a &>> 22 | a &<< 10)
    h = t &+ sum &+ ((a & b) | (c & (a | b)))
  }

  private static let roundConstants: [UInt32] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
  ]
}

/// Bytes as lower-case hexadecimal digits.
func hexadecimal(_ bytes: [UInt8]) -> String {
  bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}
