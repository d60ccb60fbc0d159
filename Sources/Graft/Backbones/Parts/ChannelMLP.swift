import GraftOps

/// A network on the channels of each token: `f(fc1(x))`.
struct ChannelMLP: PartBody {
  let activation: Activation

  func callAsFunction(
    _ stream: Tokens, known: Tokens?, keeping kept: KeptTokens, _ part: FrozenPart, _ pass: Pass
  ) throws -> Tensor {
    try pass.checkpoint(
      .hidden,
      { pass in
        let read = try pass.enter(part, stream, known: known)
        // What stands on the last layer reads its input, too.
        let reader = pass.sites.isTaken(.on(part.last.id)) ? nil : part.last.linear
        return try pass.apply(part.first, to: read.values, activation, readBy: reader)
      }, keeping: \.self)
  }
}
