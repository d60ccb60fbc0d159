import GraftSystem
public import SystemPackage

/// What a file says about one of its tensors.
public struct TensorInfo: Equatable, Sendable {
  /// What its elements are.
  public let type: Safetensors.ElementType
  /// Its dimensions, outermost first; empty for a scalar.
  public let shape: [Int]
  /// Number of elements: the product of `shape`.
  public let count: Int
}

/// An open file of named tensors, whatever its format; it was checked as a whole when it was opened.
///
/// ``TensorFiles/open(_:)`` opens any that Graft reads. The bytes are mapped, and read from the disk as they are used: the
/// file must not be truncated while it is open (the process would end); replacing it by renaming another over it is
/// harmless.
public protocol TensorFile: Sendable {
  /// Where the file was found.
  var path: FilePath { get }
  /// What the file says about each tensor, by the file's own names.
  var tensors: [String: TensorInfo] { get }
  /// The tensors' names, in the order of their UTF-8 bytes.
  var names: [String] { get }
  /// The map of strings that the file may carry.
  var metadata: [String: String] { get }
  /// The hash of what the file holds, as 64 hexadecimal digits: a backbone's identity.
  ///
  /// The SHA-256 of, for each tensor in the order of ``names``: the name's length in bytes and the name, the type's
  /// length and name (as safetensors writes it), the rank and the dimensions, and the SHA-256 of its bytes; numbers as 64-bit
  /// little-endian. Metadata, the order in the file and the file's format do not count; the precision does. Reads the
  /// whole file, on all cores, the first time.
  var contentHash: String { get }

  /// Calls `body` with a tensor's bytes: row-major, little-endian, perhaps not aligned.
  ///
  /// - Parameters:
  ///   - name: The tensor's name.
  ///   - body: Reads the bytes, which are valid only inside it.
  /// - Throws: ``CheckpointError/tensorMismatch(path:missing:unexpected:misshapen:)`` where there is no such
  ///   tensor, and what `body` throws.
  func withRawBytes<R>(_ name: String, _ body: (UnsafeRawBufferPointer) throws -> R) throws -> R
}

extension TensorFile {
  /// A tensor's values; those of 16-bit formats are converted exactly, those of 64 bits rounded to the nearest.
  ///
  /// - Parameters:
  ///   - name: The tensor's name.
  ///   - requireFinite: Refuses infinities and NaN.
  /// - Throws: ``CheckpointError``: no such tensor, another type than F64, F32, F16 or BF16, a value that is not
  ///   finite.
  public func floats(_ name: String, requireFinite: Bool = false) throws(CheckpointError) -> [Float] {
    let info = try info(name)
    let values: [Float]
    switch info.type {
    case .f64: values = try copy(name, info, zero: Double(0)).map { Float($0) }
    case .f32: values = try copy(name, info, zero: 0)
    case .f16: values = try copy(name, info, zero: UInt16(0)).map(HalfPrecision.float(half:))
    case .bf16: values = try copy(name, info, zero: UInt16(0)).map(HalfPrecision.float(brain:))
    default: throw unsupported(name, info, wanted: "floats")
    }
    if requireFinite, let index = values.firstIndex(where: { !$0.isFinite }) {
      throw .nonFinite(path: path, tensor: name, index: index)
    }
    return values
  }

  /// The values of an I32 tensor.
  ///
  /// - Throws: ``CheckpointError``: no such tensor, or another type than I32.
  public func int32s(_ name: String) throws(CheckpointError) -> [Int32] {
    let info = try info(name)
    guard info.type == .i32 else { throw unsupported(name, info, wanted: "Int32") }
    return try copy(name, info, zero: 0)
  }

  /// Checks that the file holds exactly these tensors, and names all that do not fit at once.
  ///
  /// - Parameters:
  ///   - expected: Shape by name.
  ///   - ignoring: Says which other names may be there.
  /// - Throws: ``CheckpointError/tensorMismatch(path:missing:unexpected:misshapen:)``.
  public func requireTensors(_ expected: [String: [Int]], ignoring: (String) -> Bool = { _ in false })
    throws(CheckpointError)
  {
    let missing = expected.keys.filter { tensors[$0] == nil }.sorted(by: Safetensors.precedes)
    let unexpected = names.filter { expected[$0] == nil && !ignoring($0) }
    let misshapen = names.compactMap { name -> CheckpointError.Misshapen? in
      guard let shape = expected[name], let actual = tensors[name]?.shape, actual != shape else { return nil }
      return CheckpointError.Misshapen(name: name, expected: shape, actual: actual)
    }
    guard missing.isEmpty, unexpected.isEmpty, misshapen.isEmpty else {
      throw .tensorMismatch(path: path, missing: missing, unexpected: unexpected, misshapen: misshapen)
    }
  }

  /// What the file says about a tensor.
  func info(_ name: String) throws(CheckpointError) -> TensorInfo {
    guard let info = tensors[name] else { throw lacks(name) }
    return info
  }

  /// The error for a name that is not in the file.
  func lacks(_ name: String) -> CheckpointError {
    .tensorMismatch(path: path, missing: [name], unexpected: [], misshapen: [])
  }

  private func unsupported(_ name: String, _ info: TensorInfo, wanted: String) -> CheckpointError {
    .unsupportedType(path: path, tensor: name, type: info.type.rawValue, wanted: wanted)
  }

  /// Copies a tensor whose elements are `Element`s; every platform of Swift's is little-endian, as the
  /// bytes are.
  private func copy<Element: BitwiseCopyable>(_ name: String, _ info: TensorInfo, zero: Element)
    throws(CheckpointError) -> [Element]
  {
    var values = [Element](repeating: zero, count: info.count)
    do {
      try withRawBytes(name) { bytes in values.withUnsafeMutableBytes { $0.copyMemory(from: bytes) } }
    } catch let error as CheckpointError { throw error } catch {
      throw .unreadable(path: path, reason: "\(error)")
    }
    return values
  }
}
