import GraftRuntime

/// Sequences of tokens (batch, tokens, width) are joined and cut along the token axis.
extension Tape {
  /// The sequence `[a | b]`.
  ///
  /// - Parameters:
  ///   - a: (B, Na, D), or (Na, D) where all images share it; its gradient is then summed over the images.
  ///   - b: (B, Nb, D), or (Nb, D) likewise. At least one of the two has a batch.
  /// - Returns: (B, Na + Nb, D).
  package func concatTokens(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    try join(a, b, position: nil)
  }

  /// The input sequence of a vision transformer: the class token before the patches, plus the position embedding.
  ///
  /// - Parameters:
  ///   - patches: (B, P, D).
  ///   - cls: (D) or (1, 1, D), shared by all images; receives a gradient when it is trainable.
  ///   - position: (1 + P, D) in any shape, frozen.
  /// - Returns: (B, 1 + P, D).
  package func prependClassToken(_ patches: Tensor, cls: Tensor, position: Tensor) throws -> Tensor {
    let token = reshape(cls, to: [1, cls.count])
    precondition(position.count == (1 + patches.shape[1]) * cls.count, "one position a token")
    return try join(token, patches, position: position)
  }

  /// The sequence with `cls` (B, D) before `patches` (B, P, D).
  package func joinClassToken(_ cls: Tensor, _ patches: Tensor) throws -> Tensor {
    try join(reshape(cls, to: [cls.shape[0], 1, cls.width]), patches, position: nil)
  }

  /// Tokens `from ..< from + count` of every image.
  package func sliceTokens(_ input: Tensor, from: Int, count: Int) throws -> Tensor {
    let output = try Tokens.slice(input, from: from, count: count)
    if needsGradient(input) {
      record(output) { [input = input.gradientKey] gradient, gradients in
        try gradients.accumulate(into: input) { sum in
          try Tokens.sliceBackward(gradient, from: from, into: input.shape, addingTo: sum)
        }
      }
    }
    return output
  }

  /// The class token (B, D) of a sequence (B, 1 + P, D).
  package func classToken(_ input: Tensor) throws -> Tensor {
    let token = try sliceTokens(input, from: 0, count: 1)
    return reshape(token, to: [input.shape[0], input.width])
  }

  /// The class token (B, D) and the patches (B, P, D) of a sequence (B, 1 + P, D).
  ///
  /// Both gradients come back in one pass.
  package func splitClassToken(_ input: Tensor) throws -> (cls: Tensor, patches: Tensor) {
    let (batch, width) = (input.shape[0], input.width)
    let cls = try Tokens.slice(input, from: 0, count: 1).reshaped([batch, width])
    let patches = try Tokens.slice(input, from: 1, count: input.shape[1] - 1)
    if needsGradient(input) {
      let patchCount = patches.shape[1]
      record([cls, patches]) { [input = input.gradientKey] received, gradients in
        try gradients.accumulate(into: input) { sum in
          try Tokens.join(
            received[0]?.reshaped([batch, 1, width]), received[1], counts: (1, patchCount), position: nil,
            addingTo: sum, shape: input.shape, on: input.context)
        }
      }
    }
    return (cls, patches)
  }

  /// Some images of a batch, in the order of `indices`: those that go on where others have left.
  ///
  /// For inference: nothing is recorded.
  ///
  /// - Parameters:
  ///   - input: (B, N, D).
  ///   - indices: at least one, each in `0 ..< B`.
  /// - Returns: (indices.count, N, D).
  package func gatherImages(_ input: Tensor, _ indices: [Int]) throws -> Tensor {
    precondition(!needsGradient(input), "images are gathered at inference only")
    precondition(input.shape.count == 3, "a batch of sequences")
    precondition(!indices.isEmpty && indices.allSatisfy { (0..<input.shape[0]).contains($0) }, "outside")
    return try Tokens.gather(input, Tensor(indices: indices.map(Int32.init), on: input.context))
  }

  private func join(_ a: Tensor, _ b: Tensor, position: Tensor?) throws -> Tensor {
    precondition(a.width == b.width, "both parts have the same width")
    precondition(a.shape.count == 3 || b.shape.count == 3, "one part has a batch")
    let batch = a.shape.count == 3 ? a.shape[0] : b.shape[0]
    for part in [a, b] {
      precondition(part.shape.count == 2 || part.shape[0] == batch, "both parts have the same batch")
    }
    let counts = (Tokens.count(a), Tokens.count(b))
    let output = try Tokens.join(
      a, b, counts: counts, position: position, addingTo: nil, shape: [batch, counts.0 + counts.1, a.width],
      on: a.context)
    guard needsGradient(a, b) else { return output }
    record(output) { [a = a.gradientKey, b = b.gradientKey] gradient, gradients in
      try gradients.add(Tokens.part(of: gradient, from: 0, like: a), to: a)
      try gradients.add(Tokens.part(of: gradient, from: counts.0, like: b), to: b)
    }
    return output
  }
}

/// The kernels behind the tape's token operations.
private enum Tokens {
  static func count(_ part: Tensor) -> Int { part.shape[part.shape.count - 2] }

  static func join(
    _ a: Tensor?, _ b: Tensor?, counts: (Int, Int), position: Tensor?, addingTo sum: Tensor?, shape: [Int],
    on context: Context
  ) throws -> Tensor {
    let output = try Tensor(empty: shape, on: context)
    let width = output.width
    func stride(_ part: Tensor?) -> Int {
      guard let part, part.shape.count == 3 else { return 0 }
      return count(part) * width
    }
    let parts = (position == nil ? 0 : 1) + (sum == nil ? 0 : 2) + (a == nil ? 4 : 0) + (b == nil ? 8 : 0)
    let plan = RowPlan(rows: output.rows, on: context)
    // Operands that the parts leave out are never read: any buffer stands in for them.
    try context.run(
      KernelKey("tokens", "join_tokens", ["LANES": context.rowLanes]), over: [plan.items],
      group: [plan.group],
      (a ?? output).buffer, (b ?? output).buffer, (position ?? output).buffer, (sum ?? output).buffer,
      output.buffer, counts.0, counts.1, stride(a), stride(b), width, output.rows, plan.perGroup, parts)
    return output
  }

  static func slice(_ input: Tensor, from: Int, count: Int) throws -> Tensor {
    precondition(
      input.shape.count == 3 && from >= 0 && count > 0 && from + count <= input.shape[1], "outside")
    let context = input.context
    let output = try Tensor(empty: [input.shape[0], count, input.width], on: context)
    let plan = RowPlan(rows: output.rows, on: context)
    try context.run(
      KernelKey("tokens", "slice_tokens", ["LANES": context.rowLanes]), over: [plan.items],
      group: [plan.group],
      input.buffer, output.buffer, input.shape[1], from, count, input.width, output.rows, plan.perGroup)
    return output
  }

  static func gather(_ input: Tensor, _ indices: Tensor) throws -> Tensor {
    let context = input.context
    let output = try Tensor(empty: [indices.count, input.shape[1], input.width], on: context)
    let plan = RowPlan(rows: output.rows, on: context)
    try context.run(
      KernelKey("tokens", "gather_images", ["LANES": context.rowLanes]), over: [plan.items],
      group: [plan.group], input.buffer, indices.buffer, output.buffer, input.shape[1], input.width,
      output.rows, plan.perGroup)
    return output
  }

  static func sliceBackward(
    _ gradient: Tensor, from: Int, into shape: [Int], addingTo sum: Tensor?
  ) throws -> Tensor {
    let context = gradient.context
    let result = try Tensor(empty: shape, on: context)
    let plan = RowPlan(rows: result.rows, on: context)
    try context.run(
      KernelKey("tokens", "slice_tokens_backward", ["LANES": context.rowLanes]), over: [plan.items],
      group: [plan.group],
      gradient.buffer, (sum ?? gradient).buffer, result.buffer, shape[1], from, gradient.shape[1],
      result.width, result.rows, plan.perGroup, sum == nil ? 0 : 2)
    return result
  }

  /// What `part` receives of the gradient of a joined sequence.
  static func part(of gradient: Tensor, from: Int, like part: GradientKey) throws -> Tensor {
    let tokens = part.shape[part.shape.count - 2]
    guard part.shape.count == 2 else { return try slice(gradient, from: from, count: tokens) }
    let context = gradient.context
    let result = try Tensor(empty: part.shape, on: context)
    let group = context.rowLanes
    try context.run(
      KernelKey("tokens", "sum_tokens_over_images", ["LANES": group]), over: [result.width, tokens],
      group: [group, 1], gradient.buffer, result.buffer, gradient.shape[1], from, tokens, result.width,
      gradient.shape[0])
    return result
  }
}

/// How rows are spread over groups whose lanes share a row: runs of rows on a CPU, one row a group elsewhere.
struct RowPlan {
  let perGroup: Int
  let items: Int
  let group: Int

  init(rows: Int, on context: Context) {
    group = context.rowLanes
    perGroup = context.traits.isCPU ? 8 : 1
    items = (rows + perGroup - 1) / perGroup * group
  }
}
