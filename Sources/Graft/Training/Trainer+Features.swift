import GraftOps
import GraftRuntime
import GraftSystem

extension Trainer {
  /// What a run keeps of the blocks below its adapter.
  package struct FeaturePlan: Sendable, Hashable {
    /// Blocks that are computed once an image.
    package let blocks: Int
    /// What their output takes for all training images, in bytes.
    package let bytes: Int
    /// False where there is no room for that: then they are computed in every pass.
    package let fits: Bool
  }

  /// What a run over so many images that are not augmented keeps; `nil` where there is nothing to keep.
  package func featurePlan(trainingImages: Int) throws -> FeaturePlan? {
    guard let store = try featureStore() else { return nil }
    return featurePlan(trainingImages: trainingImages, in: store)
  }

  private func featurePlan(trainingImages: Int, in store: any FeatureStore) -> FeaturePlan? {
    guard recipe.regularization == .none else { return nil }
    let (bytes, overflow) = (4 * model.prefix.count).multipliedReportingOverflow(by: trainingImages)
    return FeaturePlan(
      blocks: model.prefix.blocks, bytes: overflow ? .max : bytes,
      fits: !overflow && bytes <= store.room + store.bytes)
  }

  /// Caches of a run; those of training only where all its images fit.
  ///
  /// Batches are drawn at random: with a part of the images, nearly every batch would hold one that is missing.
  func featureCaches(trainingImages: Int) throws -> (training: FeatureCache?, validation: FeatureCache?) {
    guard let store = try featureStore() else { return (nil, nil) }
    func cache() -> FeatureCache {
      FeatureCache(store, shapes: model.prefix.shapes, on: model.backbone.context)
    }
    let fits = featurePlan(trainingImages: trainingImages, in: store)?.fits ?? false
    return (fits ? cache() : nil, cache())
  }

  private func featureStore() throws -> (any FeatureStore)? {
    guard model.prefix.blocks > 0 else { return nil }
    switch features {
    case .none: return nil
    case .memory(let limit): return FeatureMemory(limit: limit)
    case .folder(let path, let limit): return try FeatureFolder(path, about: featureKey(path), limit: limit)
    }
  }

  /// Everything that features depend on besides the pixels; another device may round otherwise.
  private struct FeatureKey: Encodable {
    let version: String
    let device: String
    let backbone: String
    let shape: StoredArchitecture
    let positionResampling: PositionResampling
    let precision: StoragePrecision
    let matmul: MatmulVariant
    let tuning: Tuning.Arithmetic?
    let arithmetic: Int?
    let blocks: Int
    let tensors: [[Int]]
  }

  private func featureKey(_ path: FilePath) throws -> String {
    let backbone = model.backbone
    guard let file = backbone.file else {
      throw GraftError.badSetting(
        name: "features", value: printable(path),
        reason: "only the features of a backbone from a file are kept in a folder.")
    }
    let key = FeatureKey(
      version: Graft.version, device: backbone.context.traits.identity, backbone: file.contentHash,
      shape: .init(backbone.shape.architecture), positionResampling: backbone.positionResampling,
      precision: backbone.context.precision,
      matmul: try .choose(nil, on: backbone.context, precision: backbone.context.precision),
      tuning: backbone.context.tuning.arithmetic(on: backbone.context.traits),
      arithmetic: backbone.shape.arithmetic, blocks: model.prefix.blocks, tensors: model.prefix.shapes)
    return try JSON.text(of: key, .escapedLine)
  }
}
