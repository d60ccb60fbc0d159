import Foundation

@testable import Graft

/// Makes hostile bytes out of good ones: flips, cuts, repeats, splices, and words that parsers trip over.
struct Mutator {
  let seeds: [[UInt8]]
  let words: [[UInt8]]
  private let head: Int?
  private var generator: SplitMix64

  /// - Parameters:
  ///   - seeds: good inputs.
  ///   - words: what to strew in beside the usual ones.
  ///   - head: how many bytes are a header, which gets all wounds of every other case.
  ///   - seed: the same one makes the same cases.
  init(_ seeds: [[UInt8]], words: [String] = [], head: Int? = nil, seed: UInt64 = 1) {
    self.seeds = seeds
    self.head = head
    self.words = (Self.usual + words).map { Array($0.utf8) }
    generator = SplitMix64(seed: seed)
  }

  private static let usual = [
    "0", "-1", "1e999", "9223372036854775807", "18446744073709551615", "4294967296", "NaN", "null", "true",
    "{}", "[]",
    "\"\"", "\"", "\\u0000", "\\ud800", "\u{0}", "\u{feff}", String(repeating: "[", count: 2000),
    String(repeating: "9", count: 400),
  ]

  /// The next case: a good input with one to eight wounds.
  mutating func next() -> [UInt8] {
    var bytes = seeds.randomElement(using: &generator) ?? []
    var rest: [UInt8] = []
    if let head, Bool.random(using: &generator) {
      rest = Array(bytes.dropFirst(head))
      bytes.removeLast(rest.count)
    }
    for _ in 0..<Int.random(in: 1...8, using: &generator) { wound(&bytes) }
    return bytes + rest
  }

  private mutating func wound(_ bytes: inout [UInt8]) {
    let range = someRange(of: bytes.count)
    switch Int.random(in: 0..<9, using: &generator) {
    case 0 where !range.isEmpty: bytes[range.lowerBound] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
    case 1 where !range.isEmpty: bytes[range.lowerBound] = .random(in: 0...255, using: &generator)
    case 2: bytes.removeSubrange(range)
    case 3: bytes.insert(contentsOf: bytes[range], at: range.upperBound)
    case 4: bytes.replaceSubrange(range, with: words.randomElement(using: &generator) ?? [])
    case 5: bytes.insert(contentsOf: words.randomElement(using: &generator) ?? [], at: range.lowerBound)
    case 6: bytes.removeSubrange(range.lowerBound...)
    case 7:
      // The head of one, the tail of another.
      let other = seeds.randomElement(using: &generator) ?? []
      bytes = Array(bytes.prefix(range.lowerBound) + other[someRange(of: other.count).lowerBound...])
    default:
      // A number as binary formats hold it, in either order of bytes.
      let extreme =
        [0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF].randomElement(using: &generator) ?? 0
      let number = UInt32(extreme)
      let isBig = Bool.random(using: &generator)
      for index in 0..<4 where range.lowerBound + index < bytes.count {
        bytes[range.lowerBound + index] = UInt8(
          truncatingIfNeeded: number >> UInt32(8 * (isBig ? 3 - index : index)))
      }
    }
  }

  /// A short stretch, seldom a long one.
  private mutating func someRange(of count: Int) -> Range<Int> {
    let start = Int.random(in: 0...count, using: &generator)
    let most = Int.random(in: 0..<10, using: &generator) == 0 ? count - start : min(8, count - start)
    return start..<start + Int.random(in: 0...most, using: &generator)
  }
}
