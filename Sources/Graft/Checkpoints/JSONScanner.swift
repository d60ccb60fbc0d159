/// Reads the few forms of JSON that a safetensors header or an index of shards may hold.
///
/// A general JSON decoder keeps one of two equal keys and says nothing; here who reads an object sees each. It does not
/// recurse.
struct JSONScanner {
  private let bytes: UnsafeRawBufferPointer
  private let text: String
  private let error: (String) -> CheckpointError
  private var position = 0

  /// - Parameters:
  ///   - bytes: UTF-8.
  ///   - text: What the bytes are, for errors.
  ///   - error: Makes an error of what is wrong.
  init(bytes: UnsafeRawBufferPointer, text: String, error: @escaping (String) -> CheckpointError) {
    self.bytes = bytes
    self.text = text
    self.error = error
  }

  /// An error at the current place.
  func fault(_ detail: String) -> CheckpointError {
    error("\(detail) (near byte \(position) of the \(text))")
  }

  /// The next byte that is not white space, not consumed.
  private mutating func peek() -> UInt8? {
    while position < bytes.count {
      switch bytes[position] {
      case 0x20, 0x09, 0x0a, 0x0d: position += 1
      default: return bytes[position]
      }
    }
    return nil
  }

  /// Consumes a byte if it comes next.
  private mutating func skip(_ character: Unicode.Scalar) -> Bool {
    guard peek() == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func expect(_ character: Unicode.Scalar) throws(CheckpointError) {
    guard skip(character) else { throw fault("expected \(character)") }
  }

  /// Checks that nothing but white space is left.
  mutating func end() throws(CheckpointError) {
    guard peek() == nil else { throw fault("text follows the last brace") }
  }

  /// Reads `{"key": …, …}`; `value` reads what follows each colon.
  mutating func object(_ value: (inout JSONScanner, String) throws(CheckpointError) -> Void)
    throws(CheckpointError)
  {
    try expect("{")
    if skip("}") { return }
    repeat {
      let key = try string()
      try expect(":")
      try value(&self, key)
    } while skip(",")
    try expect("}")
  }

  /// Passes over a value of any kind without looking at it: brackets are counted, whichever they are.
  mutating func skipValue() throws(CheckpointError) {
    var depth = 0
    repeat {
      switch peek() {
      case UInt8(ascii: "{"), UInt8(ascii: "["):
        depth += 1
        position += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        depth -= 1
        position += 1
      case UInt8(ascii: "\""): _ = try string()
      case UInt8(ascii: ",") where depth > 0, UInt8(ascii: ":") where depth > 0: position += 1
      default:
        let start = position
        while position < bytes.count, Self.isInWord(bytes[position]) { position += 1 }
        guard position > start else { throw fault("expected a value") }
      }
    } while depth > 0
    guard depth == 0 else { throw fault("expected a value") }
  }

  /// Whether a byte may belong to a number, `true`, `false` or `null`.
  private static func isInWord(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
      || [0x2b, 0x2d, 0x2e].contains(byte)
  }

  /// Reads `[1, 2, …]`.
  mutating func integers(atMost limit: Int, what: String) throws(CheckpointError) -> [Int] {
    var result: [Int] = []
    try expect("[")
    if skip("]") { return result }
    repeat {
      guard result.count < limit else { throw fault("more than \(limit) \(what)") }
      result.append(try integer())
    } while skip(",")
    try expect("]")
    return result
  }

  /// Reads a whole number without sign, fraction, exponent or leading zero.
  private mutating func integer() throws(CheckpointError) -> Int {
    guard let first = peek(), (0x30...0x39).contains(first) else {
      throw fault("expected a whole number that is not negative")
    }
    let start = position
    var value = 0
    while position < bytes.count, (0x30...0x39).contains(bytes[position]) {
      let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = tens.addingReportingOverflow(Int(bytes[position] - 0x30))
      guard !overflow, !carry else { throw fault("a number is too large") }
      value = sum
      position += 1
    }
    guard first != 0x30 || position == start + 1 else { throw fault("a number starts with 0") }
    return value
  }

  /// Reads a string; the header is known to be UTF-8.
  mutating func string() throws(CheckpointError) -> String {
    guard skip("\"") else { throw fault("expected a string") }
    var text: [UInt8] = []
    while position < bytes.count {
      let byte = bytes[position]
      position += 1
      switch byte {
      case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
      case UInt8(ascii: "\\"): text += Array(String(try escape()).utf8)
      case 0..<0x20: throw fault("a control character in a string")
      default: text.append(byte)
      }
    }
    throw fault("a string does not end")
  }

  /// Reads what follows a backslash.
  private mutating func escape() throws(CheckpointError) -> Unicode.Scalar {
    guard position < bytes.count else { throw fault("a string does not end") }
    let byte = bytes[position]
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{c}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"):
      var code = try codeUnit()
      if (0xd800..<0xdc00).contains(code) {
        guard position + 1 < bytes.count, bytes[position] == UInt8(ascii: "\\"),
          bytes[position + 1] == UInt8(ascii: "u")
        else { throw fault("half a surrogate pair") }
        position += 2
        let low = try codeUnit()
        guard (0xdc00..<0xe000).contains(low) else { throw fault("half a surrogate pair") }
        code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw fault("half a surrogate pair") }
      return scalar
    default: throw fault("an unknown escape in a string")
    }
  }

  /// Reads four hexadecimal digits.
  private mutating func codeUnit() throws(CheckpointError) -> UInt32 {
    guard position + 4 <= bytes.count else { throw fault("a string does not end") }
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard let digit = Character(Unicode.Scalar(bytes[position])).hexDigitValue, bytes[position] < 0x80
      else { throw fault("a wrong \\u escape") }
      code = code << 4 | UInt32(digit)
      position += 1
    }
    return code
  }
}
