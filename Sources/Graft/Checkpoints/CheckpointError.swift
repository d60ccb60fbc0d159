import GraftSystem
public import SystemPackage

/// What can go wrong with a checkpoint's files, said so that a person can act on it.
///
/// ``description`` says what happened, where, and what to try.
public enum CheckpointError: Error, Equatable, Sendable {
  /// There is no such file or folder.
  case missingFile(path: FilePath)
  /// The file is there and cannot be read; `reason` holds the system's own words.
  case unreadable(path: FilePath, reason: String)
  /// The file is not in a format that is read here, or holds what is not read; `advice` says what to do about it, in whole
  /// sentences.
  case notWeights(path: FilePath, reason: String, advice: String? = nil)
  /// The file ends before what its header promises; sizes in bytes.
  case truncated(path: FilePath, neededBytes: Int, actualBytes: Int)
  /// The safetensors header breaks a rule of the format or contradicts the file.
  case malformedHeader(path: FilePath, detail: String)
  /// Something in the file breaks a rule of its format or contradicts the rest of it.
  case malformedFile(path: FilePath, detail: String)
  /// The tensors are not the expected ones.
  case tensorMismatch(
    path: FilePath, missing: [String], unexpected: [String], misshapen: [Misshapen])
  /// The tensors' names are nobody's that Graft knows; `dialect` is the nearest, and the lists are what it lacks and what
  /// speaks against it.
  case unknownNames(path: FilePath, dialect: String, missing: [String], unexpected: [String])
  /// A change of a canonical tensor that the file it came from cannot hold.
  case noPlace(path: FilePath, tensor: String, reason: String)
  /// A tensor tells, by being there or by being missing, that this is another model, or the same in other names;
  /// `meaning` says which one and what to do, in whole sentences.
  case unsupportedModel(path: FilePath, tensor: String, isThere: Bool = true, meaning: String)
  /// A tensor's element type cannot be read as what was asked for.
  case unsupportedType(path: FilePath, tensor: String, type: String, wanted: String)
  /// A tensor holds an infinity or a NaN.
  case nonFinite(path: FilePath, tensor: String, index: Int)
  /// The backbone of an adapter's folder is not where it was in training, nor beside the folder; `recorded` is nil where
  /// the folder does not say which it is.
  case missingBackbone(path: FilePath, recorded: FilePath?)
  /// The adapter was trained on another backbone; the hashes are those of ``TensorFile/contentHash``.
  case wrongBackbone(path: FilePath, expectedHash: String, actualHash: String)
  /// The adapter was trained on a backbone of another width.
  case wrongWidth(path: FilePath, expected: Int, actual: Int)
  /// `adapter_config.json` breaks a rule of its format.
  case malformedManifest(path: FilePath, detail: String)
  /// `adapter_config.json` is of a format that this version does not know.
  case unsupportedFormat(path: FilePath, version: Int, supported: Int)
  /// The file cannot be written; `reason` holds the system's own words. Nothing is left behind.
  case cannotWrite(path: FilePath, reason: String)

  /// A tensor whose shape is not the expected one.
  public struct Misshapen: Equatable, Sendable {
    /// The tensor's name.
    public let name: String
    /// The shape that was expected.
    public let expected: [Int]
    /// The shape in the file.
    public let actual: [Int]

    /// Creates the record of one misshapen tensor.
    public init(name: String, expected: [Int], actual: [Int]) {
      self.name = name
      self.expected = expected
      self.actual = actual
    }
  }
}

extension CheckpointError: CustomStringConvertible {
  /// What happened, where, and what to try.
  public var description: String {
    switch self {
    case .missingFile(let path) where path.lastComponent?.text == AdapterFolder.manifestName:
      return
        "\(printable(path)): no such file: \(printable(path.folder)) is no folder of an adapter, such as graft "
        + "train writes when its first pass ends. Check the spelling of the path; a run that was interrupted before goes "
        + "on with --resume."
    case .missingFile(let path):
      return "\(printable(path)): no such file or folder. Check the spelling of the path."
    case .unreadable(let path, let reason):
      return "\(printable(path)): cannot be read: \(reason)."
    case .notWeights(let path, let reason, let advice):
      return
        "\(printable(path)): cannot be used as weights: \(reason).\(advice.map { " \($0)" } ?? "")"
    case .truncated(let path, let needed, let actual):
      return
        "\(printable(path)): truncated: its header needs \(needed) bytes and the file has \(actual). "
        + "Download or copy it again."
    case .malformedHeader(let path, let detail):
      return "\(printable(path)): refused, its safetensors header is wrong: \(detail). "
        + "Download the file again, or save it with an up-to-date safetensors library."
    case .malformedFile(let path, let detail):
      return
        "\(printable(path)): refused, it is damaged or made by hand: \(detail). Download or copy it again."
    case .tensorMismatch(let path, let missing, let unexpected, let misshapen):
      var parts: [String] = []
      if !missing.isEmpty { parts.append("missing: \(listed(missing.map { printable($0) }))") }
      if !unexpected.isEmpty {
        parts.append("unexpected: \(listed(unexpected.map { printable($0) }))")
      }
      if !misshapen.isEmpty {
        let shapes = misshapen.map {
          "\(printable($0.name)) is \($0.actual), expected \($0.expected)"
        }
        parts.append("misshapen: \(listed(shapes))")
      }
      return "\(printable(path)): its tensors do not fit (\(parts.joined(separator: "; "))). "
        + "Is it a file for another model, or in another library's names?"
    case .unknownNames(let path, let dialect, let missing, let unexpected):
      var parts: [String] = []
      if !missing.isEmpty { parts.append("missing: \(listed(missing.map { printable($0) }))") }
      if !unexpected.isEmpty { parts.append("unexpected: \(listed(unexpected.map { printable($0) }))") }
      return "\(printable(path)): its tensors do not fit, read as names of \(dialect) "
        + "(\(parts.joined(separator: "; "))). Is it a file for another model, or in another library's names?"
    case .noPlace(let path, let tensor, let reason):
      return "\(printable(path)): cannot hold the changed \(printable(tensor)): \(reason). "
        + "Keep the adapter beside the backbone instead of merging it."
    case .unsupportedModel(let path, let tensor, let isThere, let meaning):
      return "\(printable(path)): \(isThere ? "its" : "it has no") tensor \(printable(tensor))"
        + "\(isThere ? " tells" : ""): \(meaning)"
    case .unsupportedType(let path, let tensor, let type, let wanted):
      return "\(printable(path)): tensor \(printable(tensor)) holds \(printable(type)), "
        + "which cannot be read as \(wanted). "
        + (Safetensors.ElementType(rawValue: type)?.isOfQuantised == true
          ? "It seems to be quantised: take the file of the weights before that."
          : "Convert it to F32, F16 or BF16 first.")
    case .nonFinite(let path, let tensor, let index):
      return "\(printable(path)): tensor \(printable(tensor)) holds an infinity or a NaN "
        + "at element \(index). The weights are damaged or their training diverged: "
        + "use an earlier checkpoint."
    case .missingBackbone(let path, let recorded?):
      return
        "\(printable(path)): its backbone, \(printable(recorded)), is not there, and neither in the folder nor "
        + "beside it. Say --backbone FILE with a copy of it, wherever it is: its contents are checked."
    case .missingBackbone(let path, nil):
      return
        "\(printable(path)): the folder does not say which backbone it belongs to. Say --backbone FILE."
    case .wrongBackbone(let path, let expected, let actual):
      return "\(printable(path)): this adapter belongs to another backbone: it was trained on "
        + "\(printable(expected)), the given one is \(printable(actual)). "
        + "Say --backbone FILE with the one it was trained on."
    case .wrongWidth(let path, let expected, let actual):
      return "\(printable(path)): this adapter is for a backbone of width \(expected), "
        + "the given one has width \(actual). Say --backbone FILE with the one it was trained on."
    case .malformedManifest(let path, let detail):
      return "\(printable(path)): refused: \(detail)."
    case .unsupportedFormat(let path, let version, let supported):
      return
        "\(printable(path)): has format_version \(version), this version of Graft reads \(supported). "
        + "Update Graft, or save the adapter again."
    case .cannotWrite(let path, let reason):
      return "\(printable(path)): cannot be written: \(reason). "
        + "Choose a folder that you may write to and that has enough free space."
    }
  }
}

/// The first items of a list, and how many more there are.
func listed(_ items: [String]) -> String {
  let shown = items.prefix(5).joined(separator: ", ")
  return items.count > 5 ? "\(shown) and \(items.count - 5) more" : shown
}
