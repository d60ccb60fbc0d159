import GraftOps
import GraftRuntime

/// Features of images that a frozen backbone sees again and again, computed once.
///
/// A model that trains its head alone gets the same features from the same pixels in every pass. They are kept on the
/// host, at most ``limit`` bytes; what does not fit any more is computed again.
final class FeatureCache {
  /// Most bytes to keep.
  static let limit = 1 << 30

  private var features: [Int: [[Float]]] = [:]
  private var byteCount = 0
  private var context: Context?

  /// Features of the images with these identifiers, one tensor (B, D) a head: kept ones, or those that `compute` makes.
  func features(_ identifiers: [Int], _ compute: () throws -> [Tensor]) throws -> [Tensor] {
    let kept = identifiers.compactMap { features[$0] }
    if kept.count == identifiers.count, let context {
      return try kept[0].indices.map { head in
        let rows = kept.map { $0[head] }
        return try Tensor(Array(rows.joined()), shape: [rows.count, rows[0].count], on: context)
      }
    }
    let computed = try compute()
    context = computed.first?.context
    let values = try computed.map { try $0.floats() }
    let bytes = values.reduce(0) { $0 + 4 * $1.count } / identifiers.count
    for (row, identifier) in identifiers.enumerated() where features[identifier] == nil {
      guard byteCount + bytes <= Self.limit else { break }
      features[identifier] = zip(values, computed).map { Array($0[row * $1.width..<(row + 1) * $1.width]) }
      byteCount += bytes
    }
    return computed
  }
}
