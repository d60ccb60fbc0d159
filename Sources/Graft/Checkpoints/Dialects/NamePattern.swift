/// A tensor's name with holes, such as `blocks.{i}.attn.qkv.{p}`.
///
/// `{i}` stands for a number, `{p}` for `weight` or `bias`, and a `*` at either end for anything. Matching walks over bytes
/// once from every place where it may begin.
struct NamePattern: Sendable, Hashable, ExpressibleByStringLiteral {
  /// What stood in the holes.
  struct Match: Sendable, Hashable {
    var number: Int?
    var part: String?
  }

  private enum Piece: Sendable, Hashable {
    case text([UInt8])
    case number
    case part
  }

  let text: String
  private let pieces: [Piece]
  private let opens: Bool
  private let closes: Bool

  /// More digits than any block's number has.
  private static let maximumDigits = 6
  private static let parts = ["weight", "bias"]

  init(stringLiteral text: String) { self.init(text) }

  init(_ text: String) {
    self.text = text
    opens = text.hasPrefix("*")
    closes = text.hasSuffix("*")
    let inner = text.drop { $0 == "*" }
    var rest = closes && !inner.isEmpty ? inner.dropLast() : inner
    var pieces: [Piece] = []
    while let brace = rest.firstIndex(of: "{") {
      if brace > rest.startIndex { pieces.append(.text(Array(rest[..<brace].utf8))) }
      let hole = rest[brace...].prefix(3)
      precondition(hole == "{i}" || hole == "{p}", "\(text): unknown hole")
      pieces.append(hole == "{i}" ? .number : .part)
      rest = rest[brace...].dropFirst(3)
    }
    if !rest.isEmpty { pieces.append(.text(Array(rest.utf8))) }
    self.pieces = pieces
  }

  /// Whether it stands for one name only.
  var isLiteral: Bool { !opens && !closes && !text.contains("{") }
  /// Whether it ends in a place for `weight` or `bias`.
  var hasPart: Bool { pieces.contains(.part) }

  /// What stands in the holes of a name; `nil` where it does not fit.
  func match(_ name: String) -> Match? {
    var name = name
    return name.withUTF8 { bytes in
      for start in 0...(opens ? bytes.count : 0) {
        if let match = match(bytes, from: start) { return match }
      }
      return nil
    }
  }

  /// Whether a name fits.
  func matches(_ name: String) -> Bool { match(name) != nil }

  private func match(_ bytes: UnsafeBufferPointer<UInt8>, from start: Int) -> Match? {
    var (place, match) = (start, Match())
    for piece in pieces {
      switch piece {
      case .text(let text):
        guard bytes.count - place >= text.count,
          zip(bytes[place..<place + text.count], text).allSatisfy({ $0 == $1 })
        else { return nil }
        place += text.count
      case .number:
        let digits = bytes[place...].prefix(Self.maximumDigits + 1).prefix { (48...57).contains($0) }
        guard let first = digits.first, digits.count <= Self.maximumDigits, first != 48 || digits.count == 1
        else { return nil }
        let number = digits.reduce(0) { $0 * 10 + Int($1 - 48) }
        guard match.number.map({ $0 == number }) ?? true else { return nil }
        match.number = number
        place += digits.count
      case .part:
        guard let part = Self.parts.first(where: { bytes[place...].starts(with: $0.utf8) }) else {
          return nil
        }
        match.part = part
        place += part.utf8.count
      }
    }
    return closes || place == bytes.count ? match : nil
  }

  /// The name with what stands in its holes; `nil` where a hole stays empty.
  func name(_ match: Match) -> String? {
    precondition(!opens && !closes, "\(text) stands for many names")
    var name = ""
    for piece in pieces {
      switch piece {
      case .text(let text): name += String(decoding: text, as: UTF8.self)
      case .number:
        guard let number = match.number else { return nil }
        name += "\(number)"
      case .part:
        guard let part = match.part else { return nil }
        name += part
      }
    }
    return name
  }
}
