/// Random numbers for one sample in one pass, by the SplitMix64 sequence.
///
/// The sequence depends on the run's seed, the number of the pass and the sample's index, and on nothing else, so that
/// neither threads nor a resumed run can change what a sample gets.
struct SampleRandom: RandomNumberGenerator {
  private var state: UInt64

  /// The generator of one sample's augmentation.
  init(seed: UInt64, epoch: Int, sample: Int) {
    self.init(seed: seed, epoch: epoch, stream: UInt64(bitPattern: Int64(sample)))
  }

  /// The generator of the order of a pass.
  init(orderOf epoch: Int, seed: UInt64) {
    self.init(seed: seed, epoch: epoch, stream: .max)
  }

  private init(seed: UInt64, epoch: Int, stream: UInt64) {
    state = Self.mix(Self.mix(Self.mix(seed) &+ UInt64(bitPattern: Int64(epoch))) &+ stream)
  }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    return Self.mix(state)
  }

  /// An integer from 0 up to, not including, `bound`.
  mutating func below(_ bound: Int) -> Int {
    precondition(bound > 0)
    return Int(next().multipliedFullWidth(by: UInt64(bound)).high)
  }

  /// A real number from `range`, in 2^53 steps.
  mutating func real(in range: ClosedRange<Double>) -> Double {
    range.lowerBound + (range.upperBound - range.lowerBound) * (Double(next() >> 11) * 0x1p-53)
  }

  /// A Fisher-Yates shuffle of the integers from 0 up to, not including, `count`.
  mutating func permutation(_ count: Int) -> [Int] {
    var order = Array(0..<count)
    for last in stride(from: count - 1, to: 0, by: -1) { order.swapAt(last, below(last + 1)) }
    return order
  }

  private static func mix(_ value: UInt64) -> UInt64 {
    var z = value &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
