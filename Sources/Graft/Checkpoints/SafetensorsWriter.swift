import GraftSystem
public import SystemPackage

extension Safetensors {
  /// A tensor on its way into a file.
  public struct TensorData: Sendable {
    /// The tensor's name in the file.
    public let name: String
    /// What its elements are.
    public let type: ElementType
    /// Its dimensions, outermost first.
    public let shape: [Int]
    private let contents: Contents

    private enum Contents: Sendable {
      case floats([Float])
      case integers([Int32])
      case bytes([UInt8])
      case file(any TensorFile, name: String)
    }

    /// An F32 tensor; `values` must fill `shape`.
    public init(name: String, shape: [Int], values: [Float]) {
      self.init(name, .f32, shape, count: values.count, .floats(values))
    }

    /// An I32 tensor; `values` must fill `shape`.
    public init(name: String, shape: [Int], values: [Int32]) {
      self.init(name, .i32, shape, count: values.count, .integers(values))
    }

    /// A tensor of any type from its little-endian bytes, which must fill `shape`.
    public init(name: String, type: ElementType, shape: [Int], bytes: [UInt8]) {
      precondition(bytes.count * 8 % type.bits == 0, "\(name): bytes are not whole elements")
      self.init(name, type, shape, count: bytes.count * 8 / type.bits, .bytes(bytes))
    }

    /// A tensor that is copied from an open file of any format bit by bit, whatever its type; where it lies in one piece,
    /// without a detour through memory.
    ///
    /// - Parameters:
    ///   - name: The tensor's name in `file`.
    ///   - file: The file that holds it; it stays open as long as this value lives.
    ///   - newName: The name to write; `name` where nil.
    /// - Throws: ``CheckpointError/tensorMismatch(path:missing:unexpected:misshapen:)`` where there is no
    ///   such tensor.
    public init(
      copying name: String, from file: any TensorFile, as newName: String? = nil
    ) throws(CheckpointError) {
      let info = try file.info(name)
      self.init(newName ?? name, info.type, info.shape, count: info.count, .file(file, name: name))
    }

    private init(
      _ name: String, _ type: ElementType, _ shape: [Int], count: Int, _ contents: Contents
    ) {
      precondition(
        shape.count <= maximumRank && elementCount(shape) == count,
        "\(name): \(count) values for \(shape)")
      self.name = name
      self.type = type
      self.shape = shape
      self.contents = contents
    }

    /// Number of bytes in the file; what is in memory cannot overflow it.
    var byteCount: Int { elementCount(shape).flatMap(type.bytes) ?? 0 }

    /// Adds the bytes to a file.
    func append(to output: AtomicFile.Output) throws(CheckpointError) {
      switch contents {
      case .floats(let values): try Self.append(values, to: output)
      case .integers(let values): try Self.append(values, to: output)
      case .bytes(let bytes): try Self.append(bytes, to: output)
      case .file(let file, let name):
        do {
          try file.withRawBytes(name) { try output.append($0) }
        } catch let error as CheckpointError {
          throw error
        } catch {
          throw .unreadable(path: file.path, reason: "\(error)")
        }
      }
    }

    private static func append<Element: BitwiseCopyable>(
      _ values: [Element], to output: AtomicFile.Output
    ) throws(CheckpointError) {
      try values.withUnsafeBufferPointer { (buffer) throws(CheckpointError) in
        try output.append(UnsafeRawBufferPointer(buffer))
      }
    }
  }

  /// Writes F32 tensors to a file, whole or not at all.
  ///
  /// - Parameters:
  ///   - tensors: The tensors in any order; values must fill shapes.
  ///   - metadata: A map of strings for the header.
  ///   - path: The file; replaced where it exists.
  /// - Throws: ``CheckpointError/cannotWrite(path:reason:)``.
  public static func write(
    _ tensors: [(name: String, shape: [Int], values: [Float])], metadata: [String: String] = [:],
    to path: FilePath
  ) throws(CheckpointError) {
    try write(
      tensors.map { TensorData(name: $0.name, shape: $0.shape, values: $0.values) },
      metadata: metadata,
      to: path)
  }

  /// Writes tensors to a file, whole or not at all.
  ///
  /// Wider types come first, then names in order; with the header padded to 8 bytes, every tensor is aligned.
  ///
  /// - Parameters:
  ///   - tensors: The tensors in any order.
  ///   - metadata: A map of strings for the header.
  ///   - path: The file; replaced where it exists.
  /// - Throws: ``CheckpointError/cannotWrite(path:reason:)``: what the system says, or names that the
  ///   format does not allow.
  public static func write(
    _ tensors: [TensorData], metadata: [String: String] = [:], to path: FilePath
  ) throws(CheckpointError) {
    let sorted = tensors.sorted {
      $0.type.bits == $1.type.bits ? precedes($0.name, $1.name) : $0.type.bits > $1.type.bits
    }
    let header = try headerBytes(sorted, metadata: metadata, path: path)
    try AtomicFile.write(to: path) { (output) throws(CheckpointError) in
      try header.withUnsafeBufferPointer { (buffer) throws(CheckpointError) in
        try output.append(UnsafeRawBufferPointer(buffer))
      }
      for tensor in sorted { try tensor.append(to: output) }
    }
  }

  /// The length and the header, padded with spaces to a multiple of 8 bytes.
  private static func headerBytes(
    _ tensors: [TensorData], metadata: [String: String], path: FilePath
  ) throws(CheckpointError) -> [UInt8] {
    var entries: [String] = []
    if !metadata.isEmpty {
      let pairs = metadata.sorted { precedes($0.key, $1.key) }.map {
        "\(quoted($0.key)):\(quoted($0.value))"
      }
      entries.append("\(quoted(metadataKey)):{\(pairs.joined(separator: ","))}")
    }
    var names: Set = [metadataKey]
    var offset = 0
    for tensor in tensors {
      guard names.insert(tensor.name).inserted else {
        throw .cannotWrite(path: path, reason: "two tensors are named \(printable(tensor.name))")
      }
      let end = offset + tensor.byteCount
      let shape = tensor.shape.map(String.init).joined(separator: ",")
      entries.append(
        "\(quoted(tensor.name)):{\"dtype\":\"\(tensor.type.rawValue)\",\"shape\":[\(shape)],"
          + "\"data_offsets\":[\(offset),\(end)]}")
      offset = end
    }
    var header = Array("{\(entries.joined(separator: ","))}".utf8)
    header += [UInt8](repeating: 0x20, count: (8 - header.count % 8) % 8)
    guard header.count <= maximumHeaderBytes, tensors.count <= maximumTensors else {
      throw .cannotWrite(path: path, reason: "\(tensors.count) tensors make too large a header")
    }
    return withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) } + header
  }

  /// A JSON string.
  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\u{0}"..<" ":
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
