import GraftSystem

/// A safetensors header, read from bytes that are hostile until checked.
///
/// A general JSON decoder keeps one of two equal keys and says nothing, so this fixed format has its own
/// scanner. It does not recurse, and what it builds is bounded by the header's own length.
struct SafetensorsHeader {
  /// The tensors by name; their byte ranges are checked against each other and against the data's size.
  var tensors: [String: Safetensors.TensorInfo] = [:]
  /// The map of strings under `__metadata__`.
  var metadata: [String: String] = [:]

  /// Reads and checks a header.
  ///
  /// - Parameters:
  ///   - bytes: The header without its length.
  ///   - dataBytes: Number of bytes that follow it in the file.
  ///   - path: The file's path, for errors.
  init(parsing bytes: UnsafeRawBufferPointer, dataBytes: Int, path: FilePath) throws(CheckpointError) {
    guard bytes.first == UInt8(ascii: "{") else {
      throw .notSafetensors(path: path, reason: "its header does not start with {")
    }
    guard String(validating: bytes, as: UTF8.self) != nil else {
      throw .malformedHeader(path: path, detail: "it is not UTF-8")
    }
    var scanner = HeaderScanner(bytes: bytes, path: path)
    var hasMetadata = false
    try scanner.object { (scanner, name) throws(CheckpointError) in
      if name == Safetensors.metadataKey {
        guard !hasMetadata else { throw scanner.fault("\(Safetensors.metadataKey) appears twice") }
        hasMetadata = true
        metadata = try Self.metadata(&scanner)
        return
      }
      guard tensors[name] == nil else { throw scanner.fault("tensor \(printable(name)) appears twice") }
      guard tensors.count < Safetensors.maximumTensors else {
        throw scanner.fault("it names more than \(Safetensors.maximumTensors) tensors")
      }
      tensors[name] = try Self.tensor(&scanner, name: name)
    }
    try scanner.end()
    try Self.checkLayout(tensors, dataBytes: dataBytes, headerBytes: bytes.count, path: path)
  }

  private static func metadata(_ scanner: inout HeaderScanner) throws(CheckpointError) -> [String: String] {
    var result: [String: String] = [:]
    try scanner.object { (scanner, key) throws(CheckpointError) in
      guard result[key] == nil else { throw scanner.fault("metadata key \(printable(key)) appears twice") }
      result[key] = try scanner.string()
    }
    return result
  }

  private static func tensor(
    _ scanner: inout HeaderScanner, name: String
  ) throws(CheckpointError) -> Safetensors.TensorInfo {
    var typeName: String?
    var shape: [Int]?
    var offsets: [Int]?
    try scanner.object { (scanner, key) throws(CheckpointError) in
      switch key {
      case "dtype" where typeName == nil: typeName = try scanner.string()
      case "shape" where shape == nil:
        shape = try scanner.integers(
          atMost: Safetensors.maximumRank, what: "dimensions of \(printable(name))")
      case "data_offsets" where offsets == nil:
        offsets = try scanner.integers(atMost: 2, what: "data_offsets of \(printable(name))")
      default: throw scanner.fault("tensor \(printable(name)) has a second or unknown key \(printable(key))")
      }
    }
    guard let typeName, let shape, let offsets, offsets.count == 2 else {
      throw scanner.fault("tensor \(printable(name)) lacks dtype, shape or two data_offsets")
    }
    guard let type = Safetensors.ElementType(rawValue: typeName) else {
      guard !Safetensors.ElementType.mayBeName(typeName) else {
        // Younger than this version; how many bytes it takes is not known.
        throw .unsupportedType(
          path: scanner.path, tensor: name, type: typeName, wanted: "any type that this version knows")
      }
      let known = Safetensors.ElementType.allCases.map(\.rawValue).joined(separator: ", ")
      throw scanner.fault(
        "tensor \(printable(name)) has the unknown dtype \(printable(typeName)) (known: \(known))")
    }
    guard offsets[0] <= offsets[1] else {
      throw scanner.fault("tensor \(printable(name)) ends before it begins")
    }
    guard let count = Safetensors.elementCount(shape) else {
      throw scanner.fault("the size of tensor \(printable(name)) overflows: \(shape)")
    }
    guard type.bytes(of: count) == offsets[1] - offsets[0] else {
      throw scanner.fault(
        "tensor \(printable(name)) is \(typeName) \(shape) but spans \(offsets[1] - offsets[0]) bytes")
    }
    return Safetensors.TensorInfo(
      type: type, shape: shape, count: count, byteRange: offsets[0]..<offsets[1])
  }

  /// Checks that the tensors fill the data from its first byte to its last, without a hole or an overlap.
  private static func checkLayout(
    _ tensors: [String: Safetensors.TensorInfo], dataBytes: Int, headerBytes: Int, path: FilePath
  ) throws(CheckpointError) {
    let sorted = tensors.sorted {
      let (first, second) = ($0.value.byteRange, $1.value.byteRange)
      return (first.lowerBound, first.upperBound) < (second.lowerBound, second.upperBound)
    }
    var end = 0
    for (name, info) in sorted {
      guard info.byteRange.lowerBound == end else {
        let fault = info.byteRange.lowerBound < end ? "overlaps another one" : "leaves a hole before it"
        throw .malformedHeader(path: path, detail: "tensor \(printable(name)) \(fault)")
      }
      end = info.byteRange.upperBound
    }
    if end > dataBytes {
      let (needed, overflow) = end.addingReportingOverflow(8 + headerBytes)
      throw .truncated(
        path: path, neededBytes: overflow ? .max : needed, actualBytes: dataBytes + 8 + headerBytes)
    }
    guard end == dataBytes else {
      throw .malformedHeader(path: path, detail: "\(dataBytes - end) bytes follow the last tensor")
    }
  }
}

/// Reads the few forms of JSON that a safetensors header may hold.
private struct HeaderScanner {
  let bytes: UnsafeRawBufferPointer
  let path: FilePath
  var position = 0

  init(bytes: UnsafeRawBufferPointer, path: FilePath) {
    self.bytes = bytes
    self.path = path
  }

  /// An error at the current place.
  func fault(_ detail: String) -> CheckpointError {
    .malformedHeader(path: path, detail: "\(detail) (near byte \(position) of the header)")
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
  mutating func object(
    _ value: (inout HeaderScanner, String) throws(CheckpointError) -> Void
  ) throws(CheckpointError) {
    try expect("{")
    if skip("}") { return }
    repeat {
      let key = try string()
      try expect(":")
      try value(&self, key)
    } while skip(",")
    try expect("}")
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
