import GraftRuntime

extension Tape {
  /// Stochastic depth (arXiv 1603.09382): drops all of an image with `probability` in training and scales the other
  /// images by `1 / (1 - probability)`.
  ///
  /// The mask is drawn again in the backward pass, as dropout's.
  ///
  /// - Parameter input: (B, ...), what a branch adds to the residual stream.
  /// - Throws: ``OperationError/dropoutProbability(_:)`` outside [0, 1).
  package func dropPath(_ input: Tensor, probability: Float) throws -> Tensor {
    try masked(input, probability: probability) { try $0.applyToImages(of: $1, addingTo: $2) }
  }
}

extension DropoutMask {
  fileprivate func applyToImages(of input: Tensor, addingTo sum: Tensor?) throws -> Tensor {
    let context = input.context
    let output = try Tensor(empty: input.shape, on: context)
    let images = input.shape[0]
    let plan = ElementwisePlan(count: input.count / images, on: context)
    try context.run(
      KernelKey("drop_path", "drop_path", macros: plan.macros + (sum == nil ? [] : [.init("ADD", 1)])),
      over: [plan.items, images], group: [plan.group, 1], input.buffer, (sum ?? input).buffer, output.buffer,
      key.0, key.1, key.2, threshold, scale, images, input.count / images, plan.perGroup)
    return output
  }
}
