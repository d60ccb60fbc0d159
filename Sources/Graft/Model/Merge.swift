import GraftOps
public import GraftRuntime
import GraftSystem
public import SystemPackage

extension GraftedModel {
  /// Writes backbone, adapter and head as one plain checkpoint that costs what the backbone costs, in the names that the
  /// backbone's file has; for an `.npz`, which is not written, in timm's.
  ///
  /// A file of transformers' for a backbone alone becomes one of its class with a classifier, where that computes the same:
  /// `ViTForImageClassification`, `DeiTForImageClassification`, `BeitForImageClassification`. What no tensor tells, such as
  /// epsilon, stands in the metadata, from where ``init(merged:on:)`` takes it.
  ///
  /// The sums are made in float64. Tensors that do not change keep their bits and type.
  ///
  /// - Parameters:
  ///   - path: the safetensors file to write.
  ///   - names: the file's own names, or timm's.
  ///   - transform: how images are prepared; recorded in the file's metadata.
  /// - Throws: ``GraftError/notMergeable(adapter:reason:)`` for an adapter that is not linear, changes the number of
  ///   tokens or has several heads,
  ///   ``GraftError/notFinite(tensor:step:)`` for a damaged one, ``GraftError/badOutput(folder:reason:)`` for the backbone's own file and for files
  ///   of an adapter's folder;
  ///   `CheckpointError` when the file cannot be written.
  public func merge(
    to path: FilePath, names: WeightNames = .original, transform: JSONValue = .object([:])
  ) throws {
    let name = adapter.name
    let plan = try AdapterPlan(adapter, on: backbone.shape)
    if let obstacle = plan.obstacleToMerging {
      let others = AdapterCatalog.all.filter { $0.isMergeable(on: backbone.shape) }.map(\.name)
      throw GraftError.notMergeable(
        adapter: name, reason: "\(obstacle) These can be: \(others.joined(separator: ", ")).")
    }
    guard let weights = backbone.weights else {
      throw GraftError.notMergeable(adapter: name, reason: "its backbone has random weights and no file.")
    }
    guard !isSameFile(path, weights.file.path) else {
      throw GraftError.badOutput(folder: path, reason: "it is the backbone's own file. Give another name.")
    }
    guard !AdapterFolder.owns(path) else {
      throw GraftError.badOutput(
        folder: path, reason: "it is a file of the adapter in that folder. Give another name.")
    }
    try requireWhole()
    let values = Dictionary(uniqueKeysWithValues: arena.parameters.map { ($0.name, $0.value) })
    /// A damaged model is refused: NaN is never folded into good weights.
    func trained(_ name: String) throws -> [Float] {
      guard let tensor = values[name] else { preconditionFailure("\(name) was not declared") }
      return try finiteFloats(name, tensor)
    }
    var layers: [FrozenOperation.ID: DenseLayer] = [:]
    for fold in plan.places.flatMap({ $0.folds ?? [] }) {
      var layer =
        layers.removeValue(forKey: fold.operation.id)
        ?? DenseLayer(fold.operation) { try weights.floats($0) }
      try fold.apply(&layer) { try trained($0).map(Double.init) }
      layers[fold.operation.id] = layer
    }
    let changed = layers.values.reduce(into: [:]) { $0.merge($1.changed) { $1 } }
    // Finite factors can have a product that is not.
    for (name, values) in changed where !values.allSatisfy(\.isFinite) {
      throw GraftError.notFinite(tensor: name)
    }
    let head = ["head.weight": try trained("head.weight"), "head.bias": try trained("head.bias")]
    let tensors = try weights.inverse(changed.merging(head) { $1 }, names: names)
    let description = try JSON.text(of: manifest(transform: transform))
    try Safetensors.write(
      tensors, metadata: ["format": "pt", Self.mergedKey: description],
      to: path)
  }

  /// Metadata entry of a merged checkpoint: the manifest of the adapter that went in.
  static let mergedKey = "graft"

  /// Loads a merged checkpoint as a backbone with its head.
  ///
  /// - Parameters:
  ///   - path: what ``merge(to:names:transform:)`` wrote.
  ///   - context: the device.
  /// - Throws: `CheckpointError` when the file is damaged or was not written by Graft.
  public convenience init(merged path: FilePath, on context: Context) throws {
    let file = try SafetensorsFile(path: path)
    let manifest = try Self.manifest(ofMerged: file)
    let weights = try CanonicalWeights(file)
    try self.init(
      Backbone(reading: weights, options: manifest.backboneOptions(), on: context), adapter: LinearProbe(),
      classes: manifest.classes)
    for parameter in arena.parameters {
      let values = try weights.floats(parameter.name)
      guard values.count == parameter.value.count else {
        throw CheckpointError.tensorMismatch(
          path: path, missing: [parameter.name], unexpected: [], misshapen: [])
      }
      try parameter.value.assign(values)
    }
  }

  /// The manifest in a merged checkpoint's metadata.
  ///
  /// - Throws: `CheckpointError` when there is none.
  public static func manifest(ofMerged file: SafetensorsFile) throws -> AdapterManifest {
    guard let text = file.metadata[mergedKey],
      let manifest = try? JSON.value(AdapterManifest.self, of: text)
    else {
      throw CheckpointError.malformedManifest(
        path: file.path,
        detail: "the file holds no description of a merged model; give a file that graft merge wrote")
    }
    if let fault = manifest.fault {
      throw CheckpointError.malformedManifest(path: file.path, detail: fault)
    }
    return manifest
  }
}

extension GraftedModel {
  /// Largest difference between two models' logits on an image of noise, over the largest logit.
  ///
  /// - Throws: `RuntimeError` when the device fails.
  public func relativeDifference(from other: GraftedModel) throws -> Double {
    var generator = SplitMix64(seed: 1)
    let size = backbone.shape.imageSize
    let noise = (0..<size.count * 3).map { _ in UInt8.random(in: 0...255, using: &generator) }
    let image = ImageBatch(count: 1, imageSize: size, pixels: noise)
    let (a, b) = (try logits(image)[0], try other.logits(image)[0])
    let most = a.reduce(Float.leastNormalMagnitude) { max($0, abs($1)) }
    return Double(zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) } / most)
  }
}

/// Whether two paths lead to one file, by links too.
private func isSameFile(_ first: FilePath, _ second: FilePath) -> Bool {
  FileStamp(first).map { $0 == FileStamp(second) } ?? false
}

extension AdapterPlan {
  /// What keeps the adapter from being folded into frozen weights, in a sentence; `nil` where nothing does.
  var obstacleToMerging: String? {
    let isLinear =
      exits.isEmpty && !trainsClassToken && places.allSatisfy { $0.folds != nil && $0.change == .none }
    if !isLinear { return "it is not linear, changes the number of tokens or has several heads." }
    let homeless = places.flatMap { $0.folds ?? [] }.first { $0.changesBias && !$0.hasPlaceForBias }
    return homeless.map { "it changes the bias of \($0.operation), for which the file has no place." }
  }
}

extension Adapter {
  /// Whether the adapter can be folded into a backbone's weights by ``GraftedModel/merge(to:names:transform:)``.
  public func isMergeable(on shape: BackboneShape) -> Bool {
    guard let plan = try? AdapterPlan(self, on: shape) else { return false }
    return plan.obstacleToMerging == nil
  }
}
