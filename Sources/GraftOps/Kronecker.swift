import GraftRuntime

extension Tape {
  /// The Kronecker adapter of ALoRE, `x + scale * (sum_i (A_i kron U_i V_i) x + bias)`, without forming the matrix.
  ///
  /// - Parameters:
  ///   - input: (..., D).
  ///   - a: (n, n, n): for each of n experts its n x n matrix.
  ///   - u: (n, D/n, r).
  ///   - v: (n, r, D/n).
  ///   - bias: (D), if any.
  ///   - scale: of what is added to the input.
  ///   - dropout: probability with which an inner value (V x) is dropped in training.
  /// - Throws: ``OperationError`` when n does not divide D or the probability is not in [0, 1).
  package func kroneckerAdapter(
    _ input: Tensor, a: Tensor, u: Tensor, v: Tensor, bias: Tensor? = nil, scale: Float = 1,
    dropout: Float = 0
  ) throws -> Tensor {
    let adapter = try Kronecker(width: input.width, a: a, u: u, v: v)
    return try apply(adapter, input, behind: nil, a, u, v, bias, scale, dropout)
  }

  /// The same behind a layer norm, in one; `nil` where no kernel does both.
  ///
  /// - Parameter norm: what `input` goes through first.
  package func kroneckerAdapter(
    _ input: Tensor, behind norm: LayerNorm, a: Tensor, u: Tensor, v: Tensor, bias: Tensor? = nil,
    scale: Float = 1, dropout: Float = 0
  ) throws -> Tensor? {
    let adapter = try Kronecker(width: input.width, a: a, u: u, v: v)
    guard adapter.isTiled, !needsGradient(norm.weight, norm.bias) else { return nil }
    return try apply(adapter, input, behind: norm, a, u, v, bias, scale, dropout)
  }

  private func apply(
    _ adapter: Kronecker, _ input: Tensor, behind norm: LayerNorm?, _ a: Tensor, _ u: Tensor,
    _ v: Tensor, _ bias: Tensor?, _ scale: Float, _ dropout: Float
  ) throws -> Tensor {
    guard dropout >= 0, dropout < 1 else { throw OperationError.dropoutProbability(dropout) }
    precondition(bias == nil || bias?.count == input.width, "one bias a channel")
    let mask =
      isTraining && dropout > 0 ? DropoutMask(key: nextRandomKey(), probability: dropout) : nil
    let isRecorded = needsGradient(input, a, u, v, bias)
    let trainsWeights = needsGradient(a, u, v, bias)
    let operands = try adapter.prepare(a: a, u: u, v: v, scale: scale)
    let output = try Tensor(empty: input.shape, on: input.context)
    let kept = try adapter.forward(
      input, behind: norm, operands, bias: bias, scale: scale, mask: mask, keepsInner: trainsWeights,
      into: output)
    guard isRecorded else { return output }
    record(output) { gradient, gradients in
      func backward(addingTo sum: Tensor?, into result: Tensor?) throws {
        try adapter.backward(
          input, behind: norm, gradient, operands, kept, scale: scale, mask: mask, addingTo: sum,
          into: result, targets: .init(a: a, u: u, v: v, bias: bias))
      }
      guard input.requiresGradient else { return try backward(addingTo: nil, into: nil) }
      try gradients.accumulate(into: input) { sum in
        let result = try Tensor(empty: input.shape, on: input.context)
        try backward(addingTo: sum, into: result)
        return result
      }
    }
    return output
  }
}

/// The Kronecker product of experts and its kernels: sizes, and how they are spread over the device.
package struct Kronecker {
  let context: Context
  let experts: Int
  let rank: Int
  /// Channels of a part: the width divided by the number of experts.
  let part: Int
  /// Tokens of a tile.
  ///
  /// On a CPU their rows fill about half of the vector registers. Parts with a tail are rare and go token by token:
  /// unrolled over many rows the tails would take seconds to compile.
  private let tokens: Int

  /// What the forward pass leaves for the backward pass.
  struct Kept {
    /// The inner values, where weights are trained; in tiles also what they are mixed to.
    var inner, mixed: Tensor?
    /// Of the norm in front.
    var statistics: Tensor?
  }

  var ranks: Int { experts * rank }
  var paddedLanes: Int { (ranks + 15) / 16 * 16 }
  var paddedPart: Int { (part + 15) / 16 * 16 }
  var mixCount: Int { experts * experts * paddedLanes }

  init(width: Int, a: Tensor, u: Tensor, v: Tensor) throws {
    context = a.context
    experts = a.shape[0]
    rank = u.width
    guard width % experts == 0 else { throw OperationError.unevenExperts(width: width, experts: experts) }
    part = width / experts
    precondition(a.shape == [experts, experts, experts], "A is (n, n, n)")
    precondition(u.shape == [experts, part, rank], "U is (n, D/n, r)")
    precondition(v.shape == [experts, rank, part], "V is (n, r, D/n)")
    let rowsOfToken = experts * ((experts * rank + 15) / 16)
    tokens = context.traits.isCPU && part % 16 == 0 ? max(1, 16 / rowsOfToken) : 1
  }

  /// Where the gradients of trainable weights are summed.
  struct Targets {
    let a, u, v, bias: Tensor?

    init(a: Tensor, u: Tensor, v: Tensor, bias: Tensor?) {
      func target(_ weight: Tensor?) -> Tensor? {
        weight?.requiresGradient == true ? weight?.gradientSum : nil
      }
      self.a = target(a)
      self.u = target(u)
      self.v = target(v)
      self.bias = target(bias)
    }

    var any: Tensor? { a ?? u ?? v ?? bias }
  }

  func key(_ function: String, _ flags: [String] = []) -> KernelKey {
    KernelKey(
      "kronecker", function,
      macros: [.init("EXPERTS", experts), .init("RANK", rank), .init("TOKENS", tokens)]
        + (flags + (part % 16 == 0 ? ["WHOLE"] : [])).map { .init($0, 1) })
  }

  private var group: Int { context.traits.isCPU ? 1 : min(64, context.traits.maxWorkGroupSize) }

  /// A tensor of so many lanes for each part of each token.
  func lanes(_ rows: Int) throws -> Tensor { try Tensor(empty: [rows, experts, paddedLanes], on: context) }

  /// - Parameter norm: in front, in tiles only.
  func forward(
    _ x: Tensor, behind norm: LayerNorm?, _ operands: Tensor, bias: Tensor?, scale: Float, mask: DropoutMask?,
    keepsInner: Bool, into y: Tensor
  ) throws -> Kept {
    let inner = keepsInner ? try lanes(x.rows) : nil
    guard !isTiled else {
      return try forwardInTiles(
        x, behind: norm, operands, bias: bias, scale: scale, mask: mask, inner: inner, into: y)
    }
    precondition(norm == nil, "the norm is an operation of its own")
    let flags =
      (bias == nil ? [] : ["BIAS"]) + (mask == nil ? [] : ["DROPOUT"]) + (keepsInner ? ["KEEP"] : [])
    let mask = mask ?? DropoutMask(key: (0, 0, 0), probability: 0)
    try context.run(
      key("kronecker_forward", flags), over: [(x.rows + tokens - 1) / tokens], group: [group], x.buffer,
      operands.buffer, (bias ?? x).buffer, y.buffer, (inner ?? y).buffer, x.rows, part, paddedPart, scale,
      mask.key.0, mask.key.1, mask.key.2, mask.threshold, mask.scale)
    return Kept(inner: inner)
  }

  func backward(
    _ x: Tensor, behind norm: LayerNorm?, _ dy: Tensor, _ operands: Tensor, _ kept: Kept, scale: Float,
    mask: DropoutMask?, addingTo sum: Tensor?, into dx: Tensor?, targets: Targets
  ) throws {
    guard !isTiled else {
      return try backwardInTiles(
        x, behind: norm, dy, operands, kept, scale: scale, mask: mask, addingTo: sum, into: dx,
        targets: targets)
    }
    // Each block leaves partial sums of the weights' gradients; without those, blocks are as small as they can be.
    let wantedBlocks = context.traits.isCPU ? 16 : 256
    let tokensPerBlock =
      targets.any == nil
      ? tokens : ((x.rows + wantedBlocks - 1) / wantedBlocks + tokens - 1) / tokens * tokens
    let blocks = (x.rows + tokensPerBlock - 1) / tokensPerBlock
    let partialCount = 2 * ranks * paddedPart + mixCount + experts * paddedPart
    let partials = targets.any == nil ? dy : try Tensor(empty: [blocks, partialCount], on: context)
    let flags =
      (dx == nil ? [] : ["INPUT"]) + (sum == nil ? [] : ["ADD"]) + (mask == nil ? [] : ["DROPOUT"])
      + (targets.any == nil ? [] : ["WEIGHTS"]) + (targets.bias == nil ? [] : ["BIAS"])
    let mask = mask ?? DropoutMask(key: (0, 0, 0), probability: 0)
    try context.run(
      key("kronecker_backward", flags), over: [blocks], group: [1], x.buffer, dy.buffer,
      (kept.inner ?? dy).buffer, operands.buffer, (sum ?? dy).buffer, (dx ?? dy).buffer, partials.buffer,
      x.rows, part, paddedPart, tokensPerBlock, mask.key.0, mask.key.1, mask.key.2, mask.threshold,
      mask.scale)
    guard let any = targets.any else { return }
    let runs = paddedPart / 16
    try context.run(
      key("kronecker_finish"), over: [ranks * runs + experts * experts + experts * runs], group: [group],
      partials.buffer, (targets.a ?? any).buffer, (targets.u ?? any).buffer, (targets.v ?? any).buffer,
      (targets.bias ?? any).buffer, blocks, part, paddedPart, scale, targets.a == nil ? 0 : 1,
      targets.u == nil ? 0 : 1, targets.v == nil ? 0 : 1, targets.bias == nil ? 0 : 1)
  }

  /// The matrix itself, (D, D): `sum_i A_i kron U_i V_i`.
  package static func dense(a: Tensor, u: Tensor, v: Tensor) throws -> Tensor {
    let width = u.shape[0] * u.shape[1]
    let adapter = try Kronecker(width: width, a: a, u: u, v: v)
    let output = try Tensor(empty: [width, width], on: a.context)
    let group = min(16, a.context.traits.maxWorkGroupSize)
    try a.context.run(
      adapter.key("kronecker_dense"), over: [width, width], group: [group, 1], a.buffer, u.buffer, v.buffer,
      output.buffer, adapter.part)
    return output
  }
}
