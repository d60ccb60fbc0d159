import GraftOps
import GraftRuntime

/// Features of images that a frozen backbone sees again and again, computed once.
///
/// A model that trains its head alone gets the same features from the same pixels in every pass. They are kept on the
/// host, at most ``limit`` bytes; what does not fit any more is computed again.
final class FeatureCache {
  /// Most bytes to keep.
  static let limit = 1 << 30

  private var features: [Int: [Float]] = [:]
  private var byteCount = 0
  private var context: Context?

  /// Features (B, D) of the images with these identifiers: kept ones, or those that `compute` makes.
  func features(_ identifiers: [Int], _ compute: () throws -> Tensor) throws -> Tensor {
    let kept = identifiers.compactMap { features[$0] }
    if kept.count == identifiers.count, let context {
      return try Tensor(Array(kept.joined()), shape: [kept.count, kept[0].count], on: context)
    }
    let computed = try compute()
    context = computed.context
    let values = try computed.floats()
    let width = values.count / identifiers.count
    for (row, identifier) in identifiers.enumerated() where features[identifier] == nil {
      guard byteCount + 4 * width <= Self.limit else { break }
      features[identifier] = Array(values[row * width..<(row + 1) * width])
      byteCount += 4 * width
    }
    return computed
  }
}
