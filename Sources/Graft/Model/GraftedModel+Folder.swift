import GraftOps
public import GraftRuntime
import GraftSystem
public import SystemPackage

extension GraftedModel {
  /// Saves adapter and head as a folder with `adapter_config.json` and `adapter_model.safetensors`.
  ///
  /// Where the PEFT library has such an adapter (LoRA), its `PeftModel.from_pretrained` reads the folder too.
  ///
  /// - Parameters:
  ///   - path: the folder; made if need be.
  ///   - transform: how images are prepared, kept for whoever loads the folder.
  /// - Throws: `CheckpointError` when it cannot be written.
  public func save(to path: FilePath, transform: JSONValue = .object([:])) throws {
    let peft = (adapter as? any PEFTAdapter)?.peftNames(on: backbone)
    try AdapterFolder.write(
      manifest(transform: transform), tensors: state { peft?[$0] ?? $0 }, to: path,
      others: peft?.entries ?? [:])
  }

  /// Loads an adapter folder onto a backbone that is in memory.
  ///
  /// - Parameters:
  ///   - folder: what ``save(to:transform:)`` wrote.
  ///   - backbone: the backbone it was trained on, prepared for the same image size.
  /// - Throws: `CheckpointError` when backbone and adapter are no pair or tensors do not fit.
  public convenience init(_ folder: AdapterFolder, on backbone: Backbone) throws {
    let manifest = folder.manifest
    if let file = backbone.file {
      try folder.requireBackbone(hash: file.contentHash, width: backbone.shape.featureWidth)
    }
    try folder.requireSettings(of: backbone.shape.architecture)
    try self.init(backbone, adapter: AdapterCatalog.decode(manifest), classes: manifest.classes)
    let (names, prefix) = (folder.names, folder.tensorPrefix)
    try take(folder.weights) { names[$0] ?? prefix + $0 }
    if let stored = manifest.exitCalibration {
      do {
        calibration = ExitCalibration(
          thresholds: try exitThresholds(stored.thresholds), budget: stored.budget, images: stored.images,
          source: stored.source)
      } catch {
        throw CheckpointError.malformedManifest(
          path: folder.path / AdapterFolder.manifestName, detail: "exit_calibration: \(error)")
      }
    }
  }

  /// Loads a LoRA adapter that the PEFT library saved onto a backbone that is in memory.
  ///
  /// - Parameters:
  ///   - folder: what PEFT saved.
  ///   - backbone: the backbone it was trained on; nothing but shapes can tell.
  /// - Throws: `CheckpointError` when tensors do not fit.
  public convenience init(_ folder: PEFTFolder, on backbone: Backbone) throws {
    try self.init(backbone, adapter: folder.adapter, classes: folder.classes)
    try take(folder.weights) { folder.names[$0] ?? PEFTConfiguration.tensorPrefix + $0 }
  }

  /// Takes over a file that holds the model's tensors and no other.
  private func take(_ file: SafetensorsFile, named: (String) -> String) throws {
    try file.requireTensors(
      Dictionary(uniqueKeysWithValues: stateShapes.map { (named($0.key), $0.value) }))
    try restore(from: file, named: named)
  }

  /// Loads an adapter folder, of Graft's or of the PEFT library's, and its backbone.
  ///
  /// With the backbones of other models in `backbones`, one that the adapter was trained on, prepared alike, is shared
  /// instead of loaded again: the model then adds only its own weights.
  ///
  /// - Parameters:
  ///   - path: the folder.
  ///   - backbonePath: the backbone's file; by default where it was in training, or else a file of that name in the
  ///     adapter's folder or beside it. Its contents are checked, wherever it is.
  ///   - options: how the backbone of one of PEFT's folders is read, where the folder does not say it; Graft's own folders
  ///     record it.
  ///   - backbones: backbones in memory that may be shared.
  ///   - batchSize: pictures at a time that are to be classified: kernels for so many are compiled while the weights are
  ///     read, which matters on a device that has compiled none before.
  ///   - context: the device.
  /// - Throws: `CheckpointError` when files are missing, damaged or no pair.
  public convenience init(
    path: FilePath, backbonePath: FilePath? = nil, options: BackboneOptions = .init(),
    sharing backbones: [Backbone] = [], batchSize: Int = 1,
    on context: Context
  ) throws {
    if try PEFTFolder.isAt(path) {
      let folder = try PEFTFolder(path: path)
      guard let backbonePath else { throw CheckpointError.missingBackbone(path: path, recorded: nil) }
      let options = folder.backboneOptions.replacing(by: options)
      // The folder does not know its backbone: it is whichever file is named.
      let weights = try CanonicalWeights(TensorFiles.open(backbonePath))
      let reading = try BackboneReading(weights, options: options)
      let shape = try reading.architecture.shape()
      let shared = backbones.first {
        $0.context === context && $0.shape == shape && $0.positionResampling == reading.positionResampling
          && $0.file?.contentHash == weights.file.contentHash
      }
      try self.init(
        folder, on: shared ?? Backbone(reading: weights, options: options, on: context))
      return
    }
    let folder = try AdapterFolder(path: path)
    if let backbone = backbones.first(where: { $0.context === context && $0.serves(folder.manifest) }) {
      try self.init(folder, on: backbone)
      return
    }
    let file = try backbonePath ?? folder.backboneFile()
    let options = try folder.manifest.backboneOptions()
    let backbone = try context.preparing({ [manifest = folder.manifest] in
      try Rehearsal.kernelsOfInference(
        BackboneShape(path: file, options: options), adapter: AdapterCatalog.decode(manifest),
        classes: manifest.classes.count, batchSize: batchSize, on: context)
    }) {
      let backbone = try Backbone(path: file, options: options, on: context)
      // To be compared, and takes as long as the compiler.
      _ = backbone.file?.contentHash
      return backbone
    }
    try self.init(folder, on: backbone)
  }

  func manifest(transform: JSONValue) throws -> AdapterManifest {
    let shape = backbone.shape
    var settings = try JSONValue(encoding: adapter).objectValue ?? [:]
    settings["backbone_path"] = backbone.file.map { JSONValue($0.path.absolute) } ?? ""
    // The normalisation has a place of its own.
    for fact in BackboneFact.allCases where fact != .normalization {
      let value = shape.architecture.value(of: fact)
      settings[fact.setting] = value == .null ? nil : value
    }
    settings["backbone_assumed"] = .array(backbone.assumed.map(\.rawValue).sorted().map { .string($0) })
    settings["backbone_position_resampling"] = .string(backbone.positionResampling.rawValue)
    var manifest = AdapterManifest(
      peftType: adapter.name.uppercased(), adapter: adapter.name,
      settings: settings,
      backbone: .init(
        architecture: shape.architecture.name, contentHash: backbone.file?.contentHash ?? "random",
        width: shape.featureWidth, depth: shape.depth, imageSize: shape.imageSize,
        patchSize: shape.stem.patchSize),
      classes: classes, normalization: shape.normalization,
      transform: transform, exitCalibration: calibration, graftVersion: Graft.version)
    let isPlain = (shape.architecture as? ViT)?.isPlain == true && shape.imageSize.side != nil
    let isTimms = backbone.weights.map { $0.dialect.name == "timm" && $0.prefix.isEmpty } ?? true
    // Earlier versions take a resampling that they do not know for timm's.
    let isNew = [.bicubicOffset, .geometric].contains(backbone.positionResampling)
    if !isPlain || !isTimms || isNew {
      manifest.formatVersion = 2
      manifest.backbone.family = type(of: shape.architecture).family
      manifest.backbone.settings = try JSONValue(encoding: shape.architecture)
      manifest.backbone.dialect = backbone.weights?.dialect.name
    }
    return manifest
  }
}

extension AdapterFolder {
  /// The backbone's file: where it was in training, or else one of that name in this folder or beside it, as after a
  /// folder was moved together with its backbone; a run's best adapter and a comparison's runs lie deeper.
  ///
  /// - Throws: ``CheckpointError/missingBackbone(path:recorded:)``.
  func backboneFile() throws(CheckpointError) -> FilePath {
    let recorded = manifest.settings["backbone_path"]?.pathValue
    guard let recorded, let name = recorded.lastComponent else {
      throw .missingBackbone(path: path, recorded: nil)
    }
    var found: [(file: FilePath, stamp: FileStamp)] = []
    for file in [recorded, path / name, path / ".." / name, path / "../.." / name, path / "../../.." / name] {
      if let stamp = FileStamp(file), !found.contains(where: { $0.stamp == stamp }) {
        found.append((file, stamp))
      }
    }
    guard let first = found.first?.file else { throw .missingBackbone(path: path, recorded: recorded) }
    // Whoever loads it checks it: only a choice is made here.
    guard found.count > 1 else { return first }
    let right = found.first { file, _ in
      (try? TensorFiles.open(file).contentHash) == manifest.backbone.contentHash
    }
    return right?.file ?? first
  }

  /// Refuses a backbone that is prepared otherwise than the one that the adapter was trained on.
  ///
  /// - Throws: ``CheckpointError/malformedManifest(path:detail:)``, naming the settings.
  func requireSettings(of architecture: any Architecture) throws {
    guard let family = manifest.backbone.family, let settings = manifest.backbone.settings?.objectValue else {
      return
    }
    func refused(_ detail: String) -> CheckpointError {
      .malformedManifest(path: path / Self.manifestName, detail: detail)
    }
    guard family == type(of: architecture).family else {
      throw refused(
        "backbone.family is \(family), and the backbone at hand is a \(type(of: architecture).family)")
    }
    func stored<A: Architecture>(_ architecture: A) throws -> JSONValue {
      try JSONValue(encoding: JSONValue.object(settings).decoded(as: A.self))
    }
    // Settings that a file of an earlier version has no word for are what they were then.
    guard let stored = try? stored(architecture).objectValue else {
      throw refused("backbone.settings are none of a \(family)")
    }
    let own = try JSONValue(encoding: architecture).objectValue ?? [:]
    let names = Set(own.keys).union(stored.keys).filter { own[$0] != stored[$0] }.sorted()
    guard names.isEmpty else {
      throw refused("the backbone at hand differs in \(listed(names)) from backbone.settings")
    }
  }

  /// How images are prepared for the model in a folder, of Graft's or of the PEFT library's.
  ///
  /// - Throws: `CheckpointError` when files are missing or damaged.
  public static func transform(at path: FilePath) throws(CheckpointError) -> JSONValue {
    try PEFTFolder.isAt(path)
      ? PEFTFolder(path: path).transform : AdapterFolder(path: path).manifest.transform
  }
}

extension Backbone {
  /// Whether an adapter was trained on this backbone, prepared as it is.
  fileprivate func serves(_ manifest: AdapterManifest) -> Bool {
    guard let options = try? manifest.backboneOptions() else { return false }
    return file?.contentHash == manifest.backbone.contentHash
      && (try? shape.architecture.replacing(by: options).shape()) == shape
      && positionResampling == options.positionResampling
  }
}

extension AdapterManifest {
  /// How the backbone was prepared.
  ///
  /// - Throws: ``GraftError/badSetting(name:value:reason:)`` for an entry of another kind.
  func backboneOptions() throws -> BackboneOptions {
    var options = try BackboneOptions(settings: settings)
    options.imageSize = backbone.imageSize
    options.normalization = normalization
    options.positionResampling = options.positionResampling ?? .bicubicAntialias
    // Versions before this entry did not record who had said what.
    let assumed = settings["backbone_assumed"]?.arrayValue?.compactMap(\.stringValue)
    options.presumed = Set(assumed?.compactMap(BackboneFact.init) ?? BackboneFact.allCases)
    return options
  }
}

extension AdapterCatalog {
  /// The adapter that a manifest describes.
  static func decode(_ manifest: AdapterManifest) throws -> any Adapter {
    func decoded<A: Adapter>(_ adapter: A) throws -> any Adapter {
      try JSONValue.object(manifest.settings).decoded(as: A.self)
    }
    do {
      return try decoded(named(manifest.adapter))
    } catch let error as DecodingError {
      throw CheckpointError.malformedManifest(path: FilePath(AdapterFolder.manifestName), detail: "\(error)")
    }
  }
}

extension JSONValue {
  /// Any encodable value as JSON, with names in snake_case.
  ///
  /// - Throws: `EncodingError` for a value that JSON cannot hold.
  public init(encoding value: some Encodable) throws {
    self = try JSON.value(of: JSON.bytes(of: value, snakeCase: true))
  }

  /// The value that ``init(encoding:)`` encoded.
  ///
  /// - Throws: `DecodingError` when it is another kind of value.
  public func decoded<Value: Decodable>(as type: Value.Type) throws -> Value {
    try JSON.value(of: JSON.bytes(of: self), snakeCase: true)
  }
}
