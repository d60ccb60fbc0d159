import GraftSystem

/// The header of a `.npy` file: a mark, a length, and a Python dictionary of three entries.
struct NPYHeader {
  let type: Safetensors.ElementType
  let shape: [Int]
  let count: Int
  /// Bytes before the array's values.
  let size: Int

  /// Longest header that is read; NumPy's own limit is 10,000 characters.
  static let maximumBytes = 1 << 14

  /// Reads the header at the beginning of a file.
  init(_ bytes: UnsafeRawBufferPointer, array: String, path: FilePath) throws(CheckpointError) {
    func fault(_ detail: String) -> CheckpointError {
      .malformedFile(path: path, detail: "array \(printable(array)) \(detail)")
    }
    guard bytes.starts(with: [0x93] + Array("NUMPY".utf8)), bytes.count >= 8 else {
      throw fault("has no header of NumPy's")
    }
    // Versions 2 and 3 have room for a longer length.
    let length =
      bytes[6] == 1
      ? bytes.number(UInt16.self, at: 8).map(Int.init) : bytes.number(UInt32.self, at: 8).map(Int.init)
    let start = bytes[6] == 1 ? 10 : 12
    guard (1...3).contains(bytes[6]), let length, length <= Self.maximumBytes - start,
      let text = bytes.slice(at: start, count: length)
    else { throw fault("has a header that is too long, or of a version that is not known") }
    var scanner = Scanner(bytes: text)
    guard let entries = scanner.dictionary() else {
      throw fault("has a header that is not as NumPy writes it")
    }
    guard let typeName = entries.type else {
      throw .notWeights(
        path: path, reason: "its array \(printable(array)) holds records, not numbers", advice: Self.asFloats)
    }
    guard let type = Self.types[typeName] else {
      throw .notWeights(
        path: path, reason: "its array \(printable(array)) holds \(Self.what(typeName))",
        advice: Self.isVoid(typeName) ? Self.fromBrain : Self.asFloats)
    }
    guard entries.shape.count <= Safetensors.maximumRank, let count = Safetensors.elementCount(entries.shape)
    else { throw fault("has the shape \(entries.shape), which is too large") }
    guard !entries.isFortran || entries.shape.count < 2 else {
      throw .notWeights(
        path: path, reason: "its array \(printable(array)) lies in Fortran's order, column after column",
        advice: "Save it again with numpy.savez after numpy.ascontiguousarray.")
    }
    (self.type, shape, self.count, size) = (type, entries.shape, count, start + length)
  }

  /// NumPy's names of types.
  private static let types: [String: Safetensors.ElementType] = [
    "<f8": .f64, "<f4": .f32, "<f2": .f16, "<c8": .c64, "|b1": .bool, "<i8": .i64, "<i4": .i32, "<i2": .i16,
    "|i1": .i8, "<u8": .u64, "<u4": .u32, "<u2": .u16, "|u1": .u8,
  ]
  private static let asFloats = "Save it again with numpy.savez after array.astype('<f4')."
  private static let fromBrain =
    "If they are, save it again with numpy.savez after array.view(ml_dtypes.bfloat16).astype('<f4')."

  private static func isVoid(_ type: String) -> Bool { type.hasPrefix("|V") || type.hasPrefix("<V") }

  private static func what(_ type: String) -> String {
    if type.hasPrefix(">") { return "big-endian numbers (\(printable(type)))" }
    if type.hasPrefix("|O") { return "objects of Python's, which only it could read" }
    if isVoid(type) {
      return "numbers that NumPy does not know, perhaps bfloat16"
    }
    return "values of the type \(printable(type))"
  }
}

/// Reads the one form of a Python dictionary that NumPy writes.
private struct Scanner {
  let bytes: UnsafeRawBufferPointer
  var position = 0

  init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  /// The three entries, each once, in any order; nil where it is anything else.
  ///
  /// `type` is nil for records, whose header is not read further.
  mutating func dictionary() -> (type: String?, isFortran: Bool, shape: [Int])? {
    var (type, isFortran, shape) = (String?.none, Bool?.none, [Int]?.none)
    guard skip("{") else { return nil }
    while !skip("}") {
      guard let key = string(), skip(":") else { return nil }
      switch key {
      case "descr" where type == nil:
        if peek() == UInt8(ascii: "[") { return (nil, false, []) }
        type = string()
        guard type != nil else { return nil }
      case "fortran_order" where isFortran == nil:
        isFortran = skip("True") ? true : skip("False") ? false : nil
        guard isFortran != nil else { return nil }
      case "shape" where shape == nil:
        shape = tuple()
        guard shape != nil else { return nil }
      default: return nil
      }
      guard skip(",") || peek() == UInt8(ascii: "}") else { return nil }
    }
    guard peek() == nil, let type, let isFortran, let shape else { return nil }
    return (type, isFortran, shape)
  }

  private mutating func peek() -> UInt8? {
    while position < bytes.count, [0x20, 0x09, 0x0a, 0x0d].contains(bytes[position]) { position += 1 }
    return position < bytes.count ? bytes[position] : nil
  }

  private mutating func skip(_ word: String) -> Bool {
    guard peek() != nil, bytes[position...].starts(with: word.utf8) else { return false }
    position += word.utf8.count
    return true
  }

  /// A short string in quotes, without escapes.
  private mutating func string() -> String? {
    guard let quote = peek(), quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") else { return nil }
    let rest = bytes[(position + 1)...]
    guard let end = rest.prefix(100).firstIndex(of: quote) else { return nil }
    position = end + 1
    return String(validating: rest[..<end], as: UTF8.self)
  }

  /// Dimensions; Python 2 writes an L behind them.
  private mutating func tuple() -> [Int]? {
    var numbers: [Int] = []
    guard skip("(") else { return nil }
    while !skip(")") {
      let digits = (peek().map { _ in bytes[position...] } ?? bytes[bytes.count...]).prefix {
        (0x30...0x39).contains($0)
      }
      guard numbers.count <= Safetensors.maximumRank,
        let number = Int(String(decoding: digits, as: UTF8.self))
      else { return nil }
      numbers.append(number)
      position += digits.count
      _ = skip("L")
      guard skip(",") || peek() == UInt8(ascii: ")") else { return nil }
    }
    return numbers
  }
}
