import GraftSystem
public import SystemPackage

/// A LoRA adapter with a classification head that the PEFT library saved for a ViT of timm or HuggingFace's transformers.
///
/// Such a folder does not say which backbone it belongs to: shapes are checked and no more. Classes are called "0", "1"
/// and so on. Entries of Graft's own that someone added to `adapter_config.json` count: `classes`, `normalization`,
/// `transform`, and in `settings` `backbone_heads` and others that are called `backbone_` and the name of a ``BackboneFact``.
public struct PEFTFolder: Sendable {
  /// Where the folder is.
  public let path: FilePath
  /// The adapter.
  ///
  /// Rank-stabilised scaling is part of its alpha.
  public let adapter: LoRA
  /// Names of the classes.
  public let classes: [String]
  /// How images are prepared, where someone said so.
  public let transform: JSONValue
  /// The weights under PEFT's names.
  public let weights: SafetensorsFile
  /// What the backbone's file cannot tell, where someone said so.
  public let backboneOptions: BackboneOptions
  /// The file's names by Graft's.
  let names: [String: String]

  /// Whether a folder was saved by PEFT and not by Graft.
  ///
  /// - Throws: ``CheckpointError`` when there is no manifest or it cannot be read.
  public static func isAt(_ path: FilePath) throws(CheckpointError) -> Bool {
    let entries = try manifest(path)
    return entries["peft_type"] != nil && entries["adapter"] == nil && entries["format_version"] == nil
  }

  /// Opens a folder and checks what it says.
  ///
  /// - Throws: ``CheckpointError``: a file is missing or damaged, an option is not plain LoRA, there is no head.
  public init(path: FilePath) throws(CheckpointError) {
    let manifestPath = path / AdapterFolder.manifestName
    func refused(_ detail: String) -> CheckpointError {
      .malformedManifest(path: manifestPath, detail: detail)
    }
    let entries = try Self.manifest(path)
    var adapter = try PEFTConfiguration.adapter(entries, path: manifestPath)
    weights = try SafetensorsFile(path: path / AdapterFolder.weightsName)
    var names: [String: String] = [:]
    var targets: Set<LoRA.Target> = []
    var unexpected: [String] = []
    for name in weights.names {
      guard let (own, target) = PEFTModule.graftName(name), names[own] == nil else {
        unexpected.append(name)
        continue
      }
      names[own] = name
      if let target { targets.insert(target) }
    }
    guard unexpected.isEmpty else {
      throw .tensorMismatch(path: weights.path, missing: [], unexpected: unexpected, misshapen: [])
    }
    guard let head = names["head.weight"], let count = weights.tensors[head]?.shape.first else {
      throw refused(
        "it has no classification head; save it with modules_to_save=[\"head\"], or \"classifier\"")
    }
    adapter.targets = LoRA.Target.allCases.filter(targets.contains)
    self.adapter = adapter
    classes = (entries["classes"]?.arrayValue ?? (0..<count).map { .string("\($0)") }).compactMap(
      \.stringValue)
    guard classes.count == count, Set(classes).count == count else {
      throw refused("classes are not \(count) different names, one an output of the head")
    }
    let settings = entries["settings"]?.objectValue ?? [:]
    do {
      var options = try BackboneOptions(settings: settings)
      if let value = entries["normalization"] { try options.set(.normalization, to: value) }
      backboneOptions = options
    } catch {
      throw refused("\(error)")
    }
    transform = entries["transform"] ?? .object([:])
    self.path = path
    self.names = names
  }

  private static func manifest(_ path: FilePath) throws(CheckpointError) -> [String: JSONValue] {
    let file = path / AdapterFolder.manifestName
    let bytes = try RegularFile.checkpointBytes(file, atMost: AdapterFolder.maximumManifestBytes)
    let value = try? JSON.value(JSONValue.self, of: bytes)
    // What is no object is no folder of PEFT's; whoever reads it next says what is wrong with it.
    return value?.objectValue ?? [:]
  }
}
