/// A rate, such as a dropout probability, that moves evenly from the first block to the last.
///
///     rate(i) = last + (first - last) * (L - i) / (L - 1)     for blocks i = 1 ... L
///
/// Encoded as one number where both ends are equal, else as `[first, last]`. Rates that fall with depth are the forward
/// sparsity of Dyn-Adapter (arXiv 2407.14302); the straight line is Graft's reading of it.
public struct BlockRate: Sendable, Hashable, ExpressibleByFloatLiteral, ExpressibleByIntegerLiteral {
  /// The rate of the first block.
  public var first: Float
  /// The rate of the last block.
  public var last: Float

  /// A rate that moves from `first` to `last`.
  public init(from first: Float, to last: Float) {
    self.first = first
    self.last = last
  }

  /// One rate for all blocks.
  public init(_ rate: Float) { self.init(from: rate, to: rate) }

  /// One rate for all blocks.
  public init(floatLiteral value: Float) { self.init(value) }

  /// One rate for all blocks.
  public init(integerLiteral value: Int) { self.init(Float(value)) }

  /// The rate of a block.
  ///
  /// - Parameters:
  ///   - block: from 0.
  ///   - depth: number of blocks.
  public func callAsFunction(_ block: Int, of depth: Int) -> Float {
    guard depth > 1, first != last else { return first }
    let share = Float(block) / Float(depth - 1)
    return first * (1 - share) + last * share
  }

  /// The rate as `--set` takes it.
  var text: String { first == last ? "\(first)" : "[\(first), \(last)]" }

  /// Refuses what is no probability of dropping something.
  ///
  /// - Throws: ``GraftError/badSetting(name:value:reason:)``.
  func requireProbability(_ name: String) throws {
    guard [first, last].allSatisfy({ (0..<1).contains($0) }) else {
      throw GraftError.badSetting(name: name, value: text, reason: "it must be in 0..<1.")
    }
  }
}

extension BlockRate: Codable {
  /// Reads one number, or two: the first block's and the last one's.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let rate = try? container.decode(Float.self) {
      self.init(rate)
      return
    }
    let ends = try container.decode([Float].self)
    guard ends.count == 2 else {
      throw DecodingError.dataCorruptedError(
        in: container, debugDescription: "a rate is one number, or two: of the first and the last block")
    }
    self.init(from: ends[0], to: ends[1])
  }

  /// Writes one number where both ends are equal, else two.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    if first == last { try container.encode(first) } else { try container.encode([first, last]) }
  }
}
