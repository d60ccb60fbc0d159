import GraftOps
import GraftRuntime

/// Features of images that a frozen prefix sees again and again, computed once.
///
/// A row of features goes by the SHA-256 of its image's pixels as the backbone gets them: crop and resampling are part of
/// the name.
final class FeatureCache {
  private let store: any FeatureStore
  private let shapes: [[Int]]
  private let context: Context
  /// The hashes of a source's images, by the source's own identifiers.
  private var names: [Int: String] = [:]
  /// Rows on their way from the device.
  private var pending: (names: [String], parts: [PendingFloats])?

  /// - Parameters:
  ///   - store: where rows are kept; several caches may share it.
  ///   - shapes: of the tensors that make up a row, an image.
  init(_ store: any FeatureStore, shapes: [[Int]], on context: Context) {
    self.store = store
    self.shapes = shapes
    self.context = context
  }

  /// Features of a batch, one tensor (B, ...) for each of the shapes: kept ones if all of them are, or else those that
  /// `compute` makes.
  ///
  /// A batch is computed as a whole or not at all, so that its kernels and their bits do not depend on what is kept.
  func features(of images: ImageBatch, _ compute: () throws -> [Tensor]) throws -> [Tensor] {
    try settle()
    let names = names(of: images)
    if let kept = try kept(names) { return kept }
    let computed = try compute()
    if names.contains(where: { !store.holds($0) }), store.room >= rowBytes {
      pending = (names, try computed.map { try $0.floatsLater() })
    }
    return computed
  }

  /// Keeps what is still on its way, beyond the process where the store can.
  func flush() throws {
    try settle()
    try store.flush()
  }

  private var counts: [Int] { shapes.map { $0.reduce(1, *) } }

  private var rowBytes: Int { 4 * counts.reduce(0, +) }

  private func kept(_ names: [String]) throws -> [Tensor]? {
    guard names.allSatisfy(store.holds) else { return nil }
    let count = counts.reduce(0, +)
    let rows = names.compactMap { store.row($0, count: count) }
    guard rows.count == names.count else { return nil }
    var start = 0
    return try zip(shapes, counts).map { shape, count in
      var values: [Float] = []
      values.reserveCapacity(rows.count * count)
      for row in rows { values += row[start..<start + count] }
      start += count
      return try Tensor(values, shape: [rows.count] + shape, on: context)
    }
  }

  private func settle() throws {
    guard let (names, parts) = pending else { return }
    pending = nil
    let values = try parts.map { try $0.wait() }
    for (image, name) in names.enumerated() {
      try store.keep(
        zip(values, counts).flatMap { $0[image * $1..<(image + 1) * $1] }, as: name)
    }
  }

  private func names(of images: ImageBatch) -> [String] {
    let size = images.pixels.count / images.count
    return images.pixels.withUnsafeBytes { pixels in
      images.identifiers.enumerated().map { position, identifier in
        if let name = names[identifier] { return name }
        let image = UnsafeRawBufferPointer(rebasing: pixels[position * size..<(position + 1) * size])
        let name = hexadecimal(SHA256.hash(image))
        names[identifier] = name
        return name
      }
    }
  }
}
