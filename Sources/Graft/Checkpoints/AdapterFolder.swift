import GraftSystem
public import SystemPackage

/// A trained adapter on disk: `adapter_config.json` beside `adapter_model.safetensors`, as the PEFT library
/// does it.
public struct AdapterFolder: Sendable {
  /// The manifest's file name.
  public static let manifestName = "adapter_config.json"
  /// The weights' file name.
  public static let weightsName = "adapter_model.safetensors"
  /// Largest manifest that is read or written, in bytes.
  static let maximumManifestBytes = 1 << 20

  /// Where the folder is.
  public let path: FilePath
  /// Which adapter this is, and for which backbone.
  public let manifest: AdapterManifest
  /// The adapter's and the head's weights.
  public let weights: SafetensorsFile

  /// Opens a folder and checks both files.
  ///
  /// - Throws: ``CheckpointError``: a file is missing, the manifest is malformed or of an unknown format, the
  ///   weights are not a sound safetensors file.
  public init(path: FilePath) throws(CheckpointError) {
    self.path = path
    manifest = try Self.readManifest(path / Self.manifestName)
    weights = try SafetensorsFile(path: path / Self.weightsName)
  }

  /// What stands before each tensor's name in the file: nothing, or what the PEFT library puts there.
  var tensorPrefix: String {
    let prefix = PEFTConfiguration.tensorPrefix
    return weights.names.contains { $0.hasPrefix(prefix) } ? prefix : ""
  }

  /// The file's names by Graft's, where they are those of modules that the PEFT library wraps.
  var names: [String: String] {
    let prefix = PEFTConfiguration.tensorPrefix
    let pairs = weights.names.compactMap { name in
      name.hasPrefix(prefix) ? PEFTModule.graftName(name).map { ($0.name, name) } : nil
    }
    return Dictionary(pairs) { first, _ in first }
  }

  /// Whether a path is that of a file which Graft keeps in an adapter's folder, in a folder that is one.
  static func owns(_ path: FilePath) -> Bool {
    let names = [manifestName, weightsName, Trainer.checkpointName, MetricsFile.name]
    guard let name = path.lastComponent?.text, names.contains(name) else { return false }
    return (path.folder / manifestName).exists || (path.folder / Trainer.checkpointName).exists
  }

  /// Refuses another backbone than the one that the adapter was trained on.
  ///
  /// - Parameters:
  ///   - hash: The ``TensorFile/contentHash`` of the backbone at hand.
  ///   - width: Its width.
  /// - Throws: ``CheckpointError/wrongWidth(path:expected:actual:)`` or
  ///   ``CheckpointError/wrongBackbone(path:expectedHash:actualHash:)``.
  public func requireBackbone(hash: String, width: Int) throws(CheckpointError) {
    guard width == manifest.backbone.width else {
      throw .wrongWidth(path: path, expected: manifest.backbone.width, actual: width)
    }
    guard hash == manifest.backbone.contentHash else {
      throw .wrongBackbone(path: path, expectedHash: manifest.backbone.contentHash, actualHash: hash)
    }
  }

  /// Writes a folder; each file is whole or not there.
  ///
  /// Over a folder with the same manifest only the weights are replaced, in one step. Where the manifest
  /// differs the old one goes first and the new one comes last, so that a crash between never pairs one
  /// adapter's manifest with another's weights.
  ///
  /// - Parameters:
  ///   - manifest: What the weights are.
  ///   - tensors: The adapter's and the head's weights.
  ///   - path: The folder; created where it is missing.
  ///   - others: Entries beside the manifest's own, for other libraries.
  /// - Throws: ``CheckpointError/cannotWrite(path:reason:)``, or
  ///   ``CheckpointError/malformedManifest(path:detail:)`` for one that could not be read back.
  public static func write(
    _ manifest: AdapterManifest, tensors: [Safetensors.TensorData], to path: FilePath,
    others: [String: JSONValue] = [:]
  ) throws(CheckpointError) {
    let manifestPath = path / manifestName
    let bytes = try encoded(manifest, others, path: manifestPath)
    try AtomicFile.createFolder(path)
    let isSame = (try? RegularFile.read(manifestPath, atMost: maximumManifestBytes)) == bytes
    if !isSame {
      do {
        try manifestPath.remove()
      } catch .noSuchFileOrDirectory {
      } catch {
        throw .cannotWrite(path: manifestPath, reason: error.description)
      }
    }
    try Safetensors.write(tensors, metadata: ["format": "pt"], to: path / weightsName)
    if !isSame { try AtomicFile.write(bytes, to: manifestPath) }
  }

  private static func encoded(
    _ manifest: AdapterManifest, _ others: [String: JSONValue], path: FilePath
  ) throws(CheckpointError) -> [UInt8] {
    if let fault = manifest.fault { throw .malformedManifest(path: path, detail: fault) }
    guard let own = try? JSON.bytes(of: manifest),
      let entries = try? JSON.value([String: JSONValue].self, of: own),
      let bytes = try? JSON.bytes(of: others.merging(entries) { $1 }, .pretty)
    else {
      throw .malformedManifest(path: path, detail: "a number in it is infinite or not a number")
    }
    guard bytes.count < maximumManifestBytes else {
      throw .malformedManifest(path: path, detail: "it would have more than \(maximumManifestBytes) bytes")
    }
    return bytes + [0x0a]
  }

  private static func readManifest(_ path: FilePath) throws(CheckpointError) -> AdapterManifest {
    let bytes = try RegularFile.checkpointBytes(path, atMost: maximumManifestBytes)
    struct Version: Decodable {
      var format_version: Int
    }
    do {
      let version = try JSON.value(Version.self, of: bytes).format_version
      let supported = AdapterManifest.supportedFormatVersions
      guard supported.contains(version) else {
        throw CheckpointError.unsupportedFormat(path: path, version: version, supported: supported.upperBound)
      }
      let manifest = try JSON.value(AdapterManifest.self, of: bytes)
      if let fault = manifest.fault { throw CheckpointError.malformedManifest(path: path, detail: fault) }
      return manifest
    } catch let error as CheckpointError {
      throw error
    } catch {
      throw .malformedManifest(path: path, detail: explanation(of: error))
    }
  }

  /// A decoding error in a few words: which field, and what is wrong with it.
  private static func explanation(of error: any Error) -> String {
    func field(_ path: [any CodingKey]) -> String {
      path.isEmpty ? "the file" : printable(path.map(\.stringValue).joined(separator: "."))
    }
    return switch error as? DecodingError {
    case .keyNotFound(let key, let context): "\(field(context.codingPath + [key])) is missing"
    case .typeMismatch(let type, let context): "\(field(context.codingPath)) is not a JSON \(type)"
    case .valueNotFound(_, let context): "\(field(context.codingPath)) is null"
    case .dataCorrupted(let context):
      context.codingPath.isEmpty
        ? "it is not JSON or holds an impossible number: \(printable(context.debugDescription))"
        : "\(field(context.codingPath)) has an impossible value"
    default: "it cannot be read: \(printable("\(error)"))"
    }
  }
}
