import GraftOps

/// A trained number for each output of an operation that has a bias: for all of them, or for queries and values where keys
/// have none and their third stays zero.
struct ChannelShift {
  private let values: Tensor
  /// (D), zeros for the keys; `nil` where all outputs have a number.
  private let keys: Tensor?

  init(_ values: Tensor, of operation: FrozenOperation) throws {
    self.values = values
    let width = operation.outputs / 3
    keys =
      operation.bias == .partial
      ? try Tensor([Float](repeating: 0, count: width), shape: [1, width], on: values.context) : nil
  }

  /// How many numbers are trained; `nil` where there is no bias.
  static func count(_ operation: FrozenOperation) -> Int? {
    switch operation.bias {
    case .stored: operation.outputs
    case .partial: operation.outputs / 3 * 2
    case .absent: nil
    }
  }

  /// The numbers on all outputs, with zeros for the keys.
  static func full(_ values: [Double], of operation: FrozenOperation) -> [Double] {
    guard values.count < operation.outputs else { return values }
    let half = values.count / 2
    return values.prefix(half) + [Double](repeating: 0, count: half) + values.suffix(half)
  }

  /// (outputs).
  func callAsFunction(on tape: Tape) throws -> Tensor {
    guard let keys else { return values }
    let width = keys.count
    let parts = tape.reshape(values, to: [1, 2, width])
    let front = try tape.concatTokens(tape.sliceTokens(parts, from: 0, count: 1), keys)
    return tape.reshape(
      try tape.concatTokens(front, tape.sliceTokens(parts, from: 1, count: 1)), to: [3 * width])
  }
}
