import GraftOps

/// A network on the channels of each token: `norm(f(fc1(x)))`, or `norm(f(gate) * value)` with gate and value from fc1.
struct ChannelMLP: PartBody {
  let activation: Activation
  let isGated: Bool

  func callAsFunction(
    _ stream: Tokens, known: Reading?, keeping kept: KeptTokens, _ part: FrozenPart, _ pass: Pass
  ) throws -> Tensor {
    let (activation, isGated) = (activation, isGated)
    return try pass.checkpoint(
      .hidden,
      { pass in
        let read = try pass.enter(part, stream, known: known)
        if isGated {
          return try pass.normalized(
            pass.tape.gated(pass.apply(part.first, to: read), activation), part.innerNorm)
        }
        // What stands on the last layer reads its input, too.
        let isShared = part.innerNorm != nil || pass.sites.isTaken(.on(part.last.id))
        return try pass.normalized(
          pass.apply(part.first, to: read, activation, readBy: isShared ? nil : part.last.linear),
          part.innerNorm)
      }, keeping: \.self)
  }
}
