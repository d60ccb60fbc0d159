/// A tensor that was computed of weights, kept by one of them for as long as they are what they were.
struct DerivedTensor {
  let result: Tensor
  private let others: [Tensor]
  private let revisions: [Int]
  private let scale: Float

  /// - Parameters:
  ///   - result: what was computed.
  ///   - weights: what of, all on one device; the owner among them.
  ///   - owner: that keeps it, and is not kept by it.
  ///   - scale: what else it depends on.
  init(_ result: Tensor, of weights: [Tensor], keptBy owner: Tensor, _ scale: Float) {
    self.result = result
    self.scale = scale
    others = weights.filter { $0 !== owner }
    revisions = weights.map(\.revision)
  }

  /// Whether it would come out the same.
  func isCurrent(for weights: [Tensor], keptBy owner: Tensor, _ scale: Float) -> Bool {
    let now = weights.filter { $0 !== owner }
    return self.scale == scale && now.count == others.count && zip(now, others).allSatisfy { $0 === $1 }
      && weights.map(\.revision) == revisions
  }
}
