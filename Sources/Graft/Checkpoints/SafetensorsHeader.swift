import GraftSystem

/// A safetensors header, read from bytes that are hostile until checked.
///
/// A general JSON decoder keeps one of two equal keys and says nothing, so this fixed format has its own
/// scanner. It does not recurse, and what it builds is bounded by the header's own length.
struct SafetensorsHeader {
  /// The tensors by name.
  var tensors: [String: TensorInfo] = [:]
  /// Where each tensor's bytes lie, counted from the end of the header; checked against each other and against the
  /// data's size.
  var places: [String: Range<Int>] = [:]
  /// The map of strings under `__metadata__`.
  var metadata: [String: String] = [:]

  /// Reads and checks a header.
  ///
  /// - Parameters:
  ///   - bytes: The header without its length.
  ///   - dataBytes: Number of bytes that follow it in the file.
  ///   - path: The file's path, for errors.
  init(parsing bytes: UnsafeRawBufferPointer, dataBytes: Int, path: FilePath)
    throws(CheckpointError)
  {
    guard bytes.first == UInt8(ascii: "{") else {
      throw .notWeights(path: path, reason: "its safetensors header does not start with {")
    }
    guard String(validating: bytes, as: UTF8.self) != nil else {
      throw .malformedHeader(path: path, detail: "it is not UTF-8")
    }
    var scanner = JSONScanner(bytes: bytes, text: "header") {
      .malformedHeader(path: path, detail: $0)
    }
    var hasMetadata = false
    try scanner.object { (scanner, name) throws(CheckpointError) in
      if name == Safetensors.metadataKey {
        guard !hasMetadata else { throw scanner.fault("\(Safetensors.metadataKey) appears twice") }
        hasMetadata = true
        metadata = try Self.metadata(&scanner)
        return
      }
      guard tensors[name] == nil else {
        throw scanner.fault("tensor \(printable(name)) appears twice")
      }
      guard tensors.count < Safetensors.maximumTensors else {
        throw scanner.fault("it names more than \(Safetensors.maximumTensors) tensors")
      }
      (tensors[name], places[name]) = try Self.tensor(&scanner, name: name, path: path)
    }
    try scanner.end()
    try Self.checkLayout(places, dataBytes: dataBytes, headerBytes: bytes.count, path: path)
  }

  private static func metadata(_ scanner: inout JSONScanner) throws(CheckpointError) -> [String:
    String]
  {
    var result: [String: String] = [:]
    try scanner.object { (scanner, key) throws(CheckpointError) in
      guard result[key] == nil else {
        throw scanner.fault("metadata key \(printable(key)) appears twice")
      }
      result[key] = try scanner.string()
    }
    return result
  }

  private static func tensor(
    _ scanner: inout JSONScanner, name: String, path: FilePath
  ) throws(CheckpointError) -> (TensorInfo, Range<Int>) {
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
      default:
        throw scanner.fault(
          "tensor \(printable(name)) has a second or unknown key \(printable(key))")
      }
    }
    guard let typeName, let shape, let offsets, offsets.count == 2 else {
      throw scanner.fault("tensor \(printable(name)) lacks dtype, shape or two data_offsets")
    }
    guard let type = Safetensors.ElementType(rawValue: typeName) else {
      guard !Safetensors.ElementType.mayBeName(typeName) else {
        // Younger than this version; how many bytes it takes is not known.
        throw .unsupportedType(
          path: path, tensor: name, type: typeName, wanted: "any type that this version knows")
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
        "tensor \(printable(name)) is \(typeName) \(shape) but spans \(offsets[1] - offsets[0]) bytes"
      )
    }
    return (TensorInfo(type: type, shape: shape, count: count), offsets[0]..<offsets[1])
  }

  /// Checks that the tensors fill the data from its first byte to its last, without a hole or an overlap.
  private static func checkLayout(
    _ places: [String: Range<Int>], dataBytes: Int, headerBytes: Int, path: FilePath
  ) throws(CheckpointError) {
    let sorted = places.sorted {
      ($0.value.lowerBound, $0.value.upperBound) < ($1.value.lowerBound, $1.value.upperBound)
    }
    var end = 0
    for (name, place) in sorted {
      guard place.lowerBound == end else {
        let fault = place.lowerBound < end ? "overlaps another one" : "leaves a hole before it"
        throw .malformedHeader(path: path, detail: "tensor \(printable(name)) \(fault)")
      }
      end = place.upperBound
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
