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

  /// The input sequence of a vision transformer, `[prefix | cells] + position`.
  ///
  /// - Parameters:
  ///   - cells: (B, P, D).
  ///   - prefix: the F tokens in front (class token, registers), shared by all images: (F, D), or as (D) or (1, F, D);
  ///     receives a gradient when it is trainable. Absent, F is 0.
  ///   - position: (F + P, D) in any shape, frozen; absent it is 0.
  /// - Returns: (B, F + P, D).
  /// - Throws: `RuntimeError` when the device fails.
  package func prependTokens(_ cells: Tensor, prefix: Tensor?, position: Tensor?) throws -> Tensor {
    let width = cells.width
    let front = prefix.map { reshape($0, to: [$0.count / width, width]) }
    precondition(
      position.map { $0.count == ((front?.rows ?? 0) + cells.shape[1]) * width } ?? true,
      "one position a token")
    guard front != nil || position != nil else { return cells }
    return try join(front, cells, position: position)
  }

  /// The sequence (B, F + P, D) with `front` (B, F, D) before `rest` (B, P, D); without a front the rest itself.
  ///
  /// - Throws: `RuntimeError` when the device fails.
  package func joinFront(_ front: Tensor?, _ rest: Tensor) throws -> Tensor {
    guard let front else { return rest }
    return try join(front, rest, position: nil)
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

  /// One token of every image, such as the class token: (B, D) of a sequence (B, N, D).
  package func token(_ input: Tensor, at place: Int) throws -> Tensor {
    let token = try sliceTokens(input, from: place, count: 1)
    return reshape(token, to: [input.shape[0], input.width])
  }

  /// The first `count` tokens (B, count, D) of a sequence (B, N, D), and the rest (B, N - count, D).
  ///
  /// Both gradients come back in one pass.
  ///
  /// - Parameters:
  ///   - input: (B, N, D).
  ///   - count: in `0 ..< N`; of 0 there is no front, and the rest is the input itself.
  /// - Throws: `RuntimeError` when the device fails.
  package func splitFront(_ input: Tensor, count: Int) throws -> (front: Tensor?, rest: Tensor) {
    guard count > 0 else { return (nil, input) }
    let front = try Tokens.slice(input, from: 0, count: count)
    let rest = try Tokens.slice(input, from: count, count: input.shape[1] - count)
    if needsGradient(input) {
      record([front, rest]) { [input = input.gradientKey] received, gradients in
        try gradients.accumulate(into: input) { sum in
          try Tokens.join(
            received[0], received[1], counts: (count, input.shape[1] - count), position: nil, addingTo: sum,
            shape: input.shape, on: input.context)
        }
      }
    }
    return (front, rest)
  }

  /// The mean of the tokens behind the first `front`: (B, C) of a sequence (B, N, C).
  ///
  /// Its gradient keeps nothing: each of those tokens receives a share of `1 / (N - front)`, those in front 0.
  ///
  /// - Parameters:
  ///   - input: (B, N, C).
  ///   - front: in `0 ..< N`.
  /// - Throws: `RuntimeError` when the device fails.
  package func meanTokens(_ input: Tensor, front: Int) throws -> Tensor {
    let output = try Tokens.mean(input, front: front)
    if needsGradient(input) {
      record(output) { [input = input.gradientKey] gradient, gradients in
        try gradients.accumulate(into: input) { sum in
          try Tokens.meanBackward(gradient, front: front, into: input.shape, addingTo: sum)
        }
      }
    }
    return output
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

  /// `[a | b] + position`; without `a` it is `b + position`.
  private func join(_ a: Tensor?, _ b: Tensor, position: Tensor?) throws -> Tensor {
    let parts = [a, b].compactMap(\.self)
    precondition(parts.allSatisfy { $0.width == b.width }, "both parts have the same width")
    let batches = parts.filter { $0.shape.count == 3 }.map { $0.shape[0] }
    guard let batch = batches.first else { preconditionFailure("one part has a batch") }
    precondition(batches.allSatisfy { $0 == batch }, "both parts have the same batch")
    let counts = (a.map(Tokens.count) ?? 0, Tokens.count(b))
    let output = try Tokens.join(
      a, b, counts: counts, position: position, addingTo: nil, shape: [batch, counts.0 + counts.1, b.width],
      on: b.context)
    guard needsGradient(a, b) else { return output }
    record(output) { [a = a?.gradientKey, b = b.gradientKey] gradient, gradients in
      if let a { try gradients.add(Tokens.part(of: gradient, from: 0, like: a), to: a) }
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
    let plan = RowPlan(rows: output.rows, width: output.width, on: context)
    // Operands that the parts leave out are never read: any buffer stands in for them.
    try context.run(
      KernelKey("tokens", "join_tokens", macros: plan.macros), over: plan.global,
      group: plan.group,
      (a ?? output).buffer, (b ?? output).buffer, (position ?? output).buffer, (sum ?? output).buffer,
      output.buffer, counts.0, counts.1, stride(a), stride(b), width, output.rows, plan.perGroup, parts)
    return output
  }

  static func slice(_ input: Tensor, from: Int, count: Int) throws -> Tensor {
    precondition(
      input.shape.count == 3 && from >= 0 && count > 0 && from + count <= input.shape[1], "outside")
    let context = input.context
    let output = try Tensor(empty: [input.shape[0], count, input.width], on: context)
    let plan = RowPlan(rows: output.rows, width: output.width, on: context)
    try context.run(
      KernelKey("tokens", "slice_tokens", macros: plan.macros), over: plan.global,
      group: plan.group,
      input.buffer, output.buffer, input.shape[1], from, count, input.width, output.rows, plan.perGroup)
    return output
  }

  static func gather(_ input: Tensor, _ indices: Tensor) throws -> Tensor {
    let context = input.context
    let output = try Tensor(empty: [indices.count, input.shape[1], input.width], on: context)
    let plan = RowPlan(rows: output.rows, width: output.width, on: context)
    try context.run(
      KernelKey("tokens", "gather_images", macros: plan.macros), over: plan.global,
      group: plan.group, input.buffer, indices.buffer, output.buffer, input.shape[1], input.width,
      output.rows, plan.perGroup)
    return output
  }

  static func sliceBackward(
    _ gradient: Tensor, from: Int, into shape: [Int], addingTo sum: Tensor?
  ) throws -> Tensor {
    let context = gradient.context
    let result = try Tensor(empty: shape, on: context)
    let plan = RowPlan(rows: result.rows, width: result.width, on: context)
    try context.run(
      KernelKey("tokens", "slice_tokens_backward", macros: plan.macros), over: plan.global,
      group: plan.group,
      gradient.buffer, (sum ?? gradient).buffer, result.buffer, shape[1], from, gradient.shape[1],
      result.width, result.rows, plan.perGroup, sum == nil ? 0 : 2)
    return result
  }

  static func mean(_ input: Tensor, front: Int) throws -> Tensor {
    precondition(input.shape.count == 3 && (0..<input.shape[1]).contains(front), "no token is left")
    let context = input.context
    let (batch, tokens, width) = (input.shape[0], input.shape[1], input.width)
    let output = try Tensor(empty: [batch, width], on: context)
    // Neighbouring lanes of a GPU read neighbouring channels; an item of a CPU has whole cache lines of each token.
    let plan = ColumnPlan(width: width, on: context)
    let perItem = plan.lanes == 1 ? 64 : 1
    let items = plan.lanes == 1 ? (width + perItem - 1) / perItem : plan.items(width)
    try context.run(
      KernelKey("tokens", "mean_tokens", macros: plan.macros), over: [items, batch * plan.teams],
      group: plan.group, input.buffer, output.buffer, tokens, front, width, perItem)
    return output
  }

  static func meanBackward(
    _ gradient: Tensor, front: Int, into shape: [Int], addingTo sum: Tensor?
  ) throws -> Tensor {
    let context = gradient.context
    let result = try Tensor(empty: shape, on: context)
    let plan = RowPlan(rows: result.rows, width: result.width, on: context)
    try context.run(
      KernelKey("tokens", "mean_tokens_backward", macros: plan.macros), over: plan.global,
      group: plan.group, gradient.buffer, (sum ?? gradient).buffer, result.buffer, shape[1], front,
      result.width, result.rows, plan.perGroup, sum == nil ? 0 : 2)
    return result
  }

  /// What `part` receives of the gradient of a joined sequence.
  static func part(of gradient: Tensor, from: Int, like part: GradientKey) throws -> Tensor {
    let tokens = part.shape[part.shape.count - 2]
    // Of `b` alone, with a position added.
    guard part.shape != gradient.shape else { return gradient }
    guard part.shape.count == 2 else { return try slice(gradient, from: from, count: tokens) }
    let context = gradient.context
    let result = try Tensor(empty: part.shape, on: context)
    let plan = ColumnPlan(width: result.width, on: context)
    try context.run(
      KernelKey("tokens", "sum_tokens_over_images", macros: plan.macros), over: [result.width, tokens],
      group: plan.group, gradient.buffer, result.buffer, gradient.shape[1], from, tokens, result.width,
      gradient.shape[0])
    return result
  }
}
