import GraftSystem

/// How a trainable tensor starts.
public enum Initializer: Sendable, Hashable {
  /// Every element the same.
  case constant(Float)
  /// Gaussian.
  case normal(mean: Float, deviation: Float)
  /// Gaussian, redrawn until within two deviations of zero.
  case truncatedNormal(deviation: Float)
  /// Uniform in `-bound...bound`.
  case uniform(bound: Float)
  /// A convolution (channels, channels, side, side) that passes its input: 1 at the centre of a channel's own kernel.
  case identityConvolution(channels: Int, side: Int)
  /// The values of a one-dimensional tensor of the backbone, by timm's name; of a bias that keys have no part in, those of
  /// queries and values.
  case copied(from: String)

  /// Uniform with Glorot's bound `sqrt(6 / (fanIn + fanOut))`.
  static func xavier(fanIn: Int, fanOut: Int) -> Initializer {
    .uniform(bound: (6 / Float(fanIn + fanOut)).squareRoot())
  }

  /// Uniform in `+-1 / sqrt(fanIn)`: Kaiming's with a = sqrt 5, PyTorch's default for a linear layer's weight.
  static func kaiming(fanIn: Int) -> Initializer { .uniform(bound: 1 / Float(fanIn).squareRoot()) }

  /// Draws `count` values.
  ///
  /// Random ones depend on the seed and the tensor's name alone, not on what else a model holds.
  ///
  /// - Parameter backbone: where copied values come from.
  func values(count: Int, name: String, seed: UInt64, from backbone: Backbone? = nil) -> [Float] {
    var generator = SplitMix64(
      seed: name.utf8.reduce(seed ^ 0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 })
    switch self {
    case .copied(let source):
      guard let backbone else { preconditionFailure("\(source) is copied from no backbone") }
      let values = backbone.vector(source)
      return values.count == count ? values : Array(values.prefix(count / 2) + values.suffix(count / 2))
    case .identityConvolution(let channels, let side):
      let taps = side * side
      return (0..<count).map { index in
        index % taps == taps / 2 && index / taps / channels == index / taps % channels ? 1 : 0
      }
    case .constant(let value): return [Float](repeating: value, count: count)
    case .uniform(let bound):
      return (0..<count).map { _ in Float.random(in: -bound...bound, using: &generator) }
    case .normal(let mean, let deviation):
      return (0..<count).map { _ in mean + deviation * generator.gaussian() }
    case .truncatedNormal(let deviation):
      return (0..<count).map { _ in
        var value = generator.gaussian()
        while abs(value) > 2 { value = generator.gaussian() }
        return deviation * value
      }
    }
  }
}

/// A small counter-based generator (Steele, Lea and Flood 2014): the same numbers on every platform.
struct SplitMix64: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// A standard normal number, by Box and Muller.
  mutating func gaussian() -> Float {
    let radius = (-2 * log(Double.random(in: Double.leastNonzeroMagnitude..<1, using: &self))).squareRoot()
    return Float(radius * cos(2 * Double.pi * Double.random(in: 0..<1, using: &self)))
  }
}
