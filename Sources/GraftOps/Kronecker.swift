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
    guard dropout >= 0, dropout < 1 else { throw OperationError.dropoutProbability(dropout) }
    let adapter = try Kronecker(width: input.width, a: a, u: u, v: v)
    precondition(bias == nil || bias?.count == input.width, "one bias a channel")
    let mask =
      isTraining && dropout > 0 ? DropoutMask(key: nextRandomKey(), probability: dropout) : nil
    let isRecorded = needsGradient(input, a, u, v, bias)
    let trainsWeights = needsGradient(a, u, v, bias)
    let operands = try adapter.prepare(a: a, u: u, v: v, scale: scale)
    let output = try Tensor(empty: input.shape, on: input.context)
    let inner = try adapter.forward(
      input, operands, bias: bias, scale: scale, mask: mask, keepsInner: trainsWeights, into: output)
    guard isRecorded else { return output }
    record(output) { gradient, gradients in
      func backward(addingTo sum: Tensor?, into result: Tensor?) throws {
        try adapter.backward(
          input, gradient, operands, inner: inner, scale: scale, mask: mask, addingTo: sum, into: result,
          targets: .init(a: a, u: u, v: v, bias: bias))
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

  private func key(_ function: String, _ flags: [String] = []) -> KernelKey {
    KernelKey(
      "kronecker", function,
      macros: [.init("EXPERTS", experts), .init("RANK", rank), .init("TOKENS", tokens)]
        + (flags + (part % 16 == 0 ? ["WHOLE"] : [])).map { .init($0, 1) })
  }

  private var group: Int { context.traits.isCPU ? 1 : min(64, context.traits.maxWorkGroupSize) }

  /// The weights in the orders in which the kernels read them: prepared again only when one of them has changed.
  ///
  /// They are kept with U, of which every adapter has its own.
  func prepare(a: Tensor, u: Tensor, v: Tensor, scale: Float) throws -> Tensor {
    let weights = [a, u, v]
    if let kept = u.derived, kept.isCurrent(for: weights, keptBy: u, scale) { return kept.result }
    let count = 2 * part * paddedLanes + 2 * ranks * paddedPart + 2 * mixCount
    let operands = try Tensor(empty: [count], on: context)
    let group = min(context.traits.isCPU ? 16 : 64, context.traits.maxWorkGroupSize)
    try context.run(
      key("kronecker_prepare"), over: [paddedPart], group: [group], a.buffer, u.buffer, v.buffer,
      operands.buffer, part, paddedPart, scale)
    u.derived = DerivedTensor(operands, of: weights, keptBy: u, scale)
    return operands
  }

  /// - Returns: the inner values, when they are kept.
  func forward(
    _ x: Tensor, _ operands: Tensor, bias: Tensor?, scale: Float, mask: DropoutMask?, keepsInner: Bool,
    into y: Tensor
  ) throws -> Tensor? {
    let inner = keepsInner ? try Tensor(empty: [x.rows, experts, paddedLanes], on: context) : nil
    guard !isTiled else {
      try runTile(
        x, operands, bias: bias, scale: scale, mask: mask, keptInner: inner, into: y,
        flags: bias == nil ? [] : ["BIAS"])
      return inner
    }
    let flags =
      (bias == nil ? [] : ["BIAS"]) + (mask == nil ? [] : ["DROPOUT"]) + (keepsInner ? ["KEEP"] : [])
    let mask = mask ?? DropoutMask(key: (0, 0, 0), probability: 0)
    try context.run(
      key("kronecker_forward", flags), over: [(x.rows + tokens - 1) / tokens], group: [group], x.buffer,
      operands.buffer, (bias ?? x).buffer, y.buffer, (inner ?? y).buffer, x.rows, part, paddedPart, scale,
      mask.key.0, mask.key.1, mask.key.2, mask.threshold, mask.scale)
    return inner
  }

  func backward(
    _ x: Tensor, _ dy: Tensor, _ operands: Tensor, inner: Tensor?, scale: Float, mask: DropoutMask?,
    addingTo sum: Tensor?, into dx: Tensor?, targets: Targets
  ) throws {
    guard !isTiled else {
      return try backwardInTiles(
        x, dy, operands, inner: inner, scale: scale, mask: mask, addingTo: sum, into: dx, targets: targets)
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
      key("kronecker_backward", flags), over: [blocks], group: [1], x.buffer, dy.buffer, (inner ?? dy).buffer,
      operands.buffer, (sum ?? dy).buffer, (dx ?? dy).buffer, partials.buffer, x.rows, part, paddedPart,
      tokensPerBlock, mask.key.0, mask.key.1, mask.key.2, mask.threshold, mask.scale)
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
