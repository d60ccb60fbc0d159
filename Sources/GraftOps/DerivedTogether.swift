/// Tensors that are computed alike of weights in one array, all that are out of date by one launch.
///
/// The array keeps it, and the weights keep the array: it must not keep them.
final class DerivedTogether {
  private struct Member {
    struct Weight { weak var tensor: Tensor? }
    weak var owner: Tensor?
    let weights: [Weight]
    /// Where the weights begin in the array.
    let places: [Int32]

    /// The weights and who keeps what is computed of them, while they are there.
    var all: (weights: [Tensor], owner: Tensor)? {
      let there = weights.compactMap(\.tensor)
      guard let owner, there.count == weights.count else { return nil }
      return (there, owner)
    }
  }

  private var members: [Member] = []
  /// Of those that were computed last.
  private var places: (values: [Int32], tensor: Tensor)?

  /// What is computed of `weights`, along with that of all weights that came here earlier and have changed since.
  ///
  /// - Parameters:
  ///   - owner: that of them which keeps it.
  ///   - scale: what else it depends on.
  ///   - compute: takes places of so many in the array, and returns each one's.
  func derive(
    _ weights: [Tensor], keptBy owner: Tensor, _ scale: Float,
    _ compute: (_ places: Tensor, _ count: Int) throws -> [Tensor]
  ) throws -> Tensor {
    members.removeAll { $0.all == nil }
    if !members.contains(where: { $0.weights.elementsEqual(weights) { $0.tensor === $1 } }) {
      members.append(
        Member(
          owner: owner, weights: weights.map { .init(tensor: $0) },
          places: weights.map { Int32($0.root.start) }))
    }
    let stale = members.filter { member in
      guard let (weights, owner) = member.all else { return false }
      return owner.derived?.isCurrent(for: weights, keptBy: owner, scale) != true
    }
    let values = stale.flatMap(\.places)
    let tensor =
      if let places, places.values == values { places.tensor } else {
        try Tensor(indices: values, on: owner.context)
      }
    places = (values, tensor)
    for (member, result) in zip(stale, try compute(tensor, stale.count)) {
      guard let (weights, owner) = member.all else { continue }
      owner.derived = DerivedTensor(result, of: weights, keptBy: owner, scale)
    }
    guard let result = owner.derived?.result else { preconditionFailure("nothing was computed") }
    return result
  }
}

extension Tensor {
  /// The array that all of these are windows onto.
  static func array(of windows: [Tensor]) -> Tensor? {
    guard let array = windows.first?.root.array,
      windows.allSatisfy({ $0 !== array && $0.root.array === array })
    else { return nil }
    return array
  }

  /// What is computed of windows onto this array in one way.
  func derivations(_ way: some Hashable) -> DerivedTogether {
    let way = AnyHashable(way)
    if let known = derivations[way] { return known }
    let new = DerivedTogether()
    derivations[way] = new
    return new
  }
}
