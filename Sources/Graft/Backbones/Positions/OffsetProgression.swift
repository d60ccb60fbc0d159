/// Where the offsets of one axis come to stand for a grid of another length: their distances grow by one factor from each to
/// the next, so that the first is 1 and the last reaches the new grid's end.
///
/// After BEiT's authors, who drew cubic splines between; timm's `resize_rel_pos_bias_table` draws straight lines, and so does
/// this. A grid that shrinks has no such factor: the smallest, 1.01, leaves out what is too far.
struct OffsetProgression {
  /// The place of each of the old offsets among the new ones, from `-(old - 1)` to `old - 1`.
  private let places: [Double]
  /// The new offsets reach from minus this to this.
  private let reach: Int

  /// - Parameters:
  ///   - old: cells of the axis that the table was made for.
  ///   - new: cells wanted.
  init(from old: Int, to new: Int) {
    reach = new - 1
    // Halved as often as timm does: what is left of the interval moves the last place by more than rounding does.
    var (low, high, factor) = (1.01, 1.5, 1.01)
    while high - low > 1e-6 {
      factor = (low + high) / 2
      let sum = (1 - Self.power(factor, old - 1)) / (1 - factor)
      if sum > Double(reach) { high = factor } else { low = factor }
    }
    var (place, step) = (0.0, 1.0)
    let behind = (1..<max(old, 1)).map { _ in
      place += step
      step *= factor
      return place
    }
    places = behind.reversed().map(-) + [0] + behind
  }

  private static func power(_ base: Double, _ exponent: Int) -> Double {
    (0..<exponent).reduce(1) { power, _ in power * base }
  }

  /// The old offsets that make each new one; beyond the last of them there is nothing but that.
  var taps: [[PositionResampling.Tap]] {
    (-reach...reach).map { offset in
      let offset = Double(offset)
      guard let right = places.firstIndex(where: { $0 >= offset }) else {
        return [.init(index: places.count - 1, weight: 1)]
      }
      guard right > 0 else { return [.init(index: 0, weight: 1)] }
      let share = (offset - places[right - 1]) / (places[right] - places[right - 1])
      return [.init(index: right - 1, weight: 1 - share), .init(index: right, weight: share)]
    }
  }
}
