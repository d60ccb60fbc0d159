import GraftRuntime

extension Tape {
  /// Drops elements with `probability` in training and scales the others by `1 / (1 - probability)`.
  ///
  /// The mask follows from the step's seed and the number of random operations before this one, so the backward pass
  /// draws it again instead of keeping it.
  ///
  /// - Throws: ``OperationError/dropoutProbability(_:)`` outside [0, 1).
  package func dropout(_ input: Tensor, probability: Float) throws -> Tensor {
    try masked(input, probability: probability) { try $0.apply(to: $1, addingTo: $2) }
  }

  /// What a dropout keeps, drawn now; `nil` where nothing is dropped.
  ///
  /// - Throws: ``OperationError/dropoutProbability(_:)`` outside [0, 1).
  func dropoutMask(probability: Float) throws -> DropoutMask? {
    guard probability >= 0, probability < 1 else { throw OperationError.dropoutProbability(probability) }
    guard isTraining, probability > 0 else { return nil }
    return DropoutMask(key: nextRandomKey(), probability: probability)
  }

  /// Applies a mask that the backward pass draws again with the same key.
  ///
  /// - Parameter apply: the masked tensor, plus the sum so far where there is one.
  func masked(
    _ input: Tensor, probability: Float,
    _ apply: @escaping (DropoutMask, Tensor, _ sum: Tensor?) throws -> Tensor
  ) throws -> Tensor {
    guard let mask = try dropoutMask(probability: probability) else { return input }
    let output = try apply(mask, input, nil)
    guard needsGradient(input) else { return output }
    record(output) { [input = input.gradientKey] gradient, gradients in
      try gradients.accumulate(into: input) { try apply(mask, gradient, $0) }
    }
    return output
  }
}

/// Which elements a dropout keeps, as the numbers that determine it.
package struct DropoutMask {
  /// Words of the key of `random_bits`.
  package let key: (UInt32, UInt32, UInt32)
  /// An element is kept when its random bits are at least this.
  package let threshold: UInt32
  /// What kept elements are multiplied by.
  package let scale: Float

  package init(key: (UInt32, UInt32, UInt32), probability: Float) {
    self.key = key
    threshold = UInt32(Double(probability) * 0x1p32)
    scale = 1 / (1 - probability)
  }

  func apply(to input: Tensor, addingTo sum: Tensor?) throws -> Tensor {
    let context = input.context
    let output = try Tensor(empty: input.shape, on: context)
    let plan = ElementwisePlan(count: input.count, on: context)
    try context.run(
      KernelKey("dropout", "dropout", macros: plan.macros + (sum == nil ? [] : [.init("ADD", 1)])),
      over: [plan.items],
      group: [plan.group], input.buffer, (sum ?? input).buffer, output.buffer, key.0, key.1, key.2, threshold,
      scale, input.count, plan.perGroup)
    return output
  }
}
