import GraftRuntime

extension Tape {
  /// A scale and a shift of each channel, `x * scale + (shift - origin)`.
  ///
  /// Either part may be absent. Gradients: of the input `dy * scale`, of the scale the sum over rows of `dy * x`, of the
  /// shift the sum over rows of dy.
  ///
  /// - Parameters:
  ///   - input: (..., D).
  ///   - scale: (D); absent it is 1.
  ///   - shift: (D); absent it is 0, and so is the origin.
  ///   - origin: (D), frozen: what is taken off the shift; absent it is 0.
  /// - Throws: `RuntimeError` when the device fails.
  package func scaleShift(
    _ input: Tensor, scale: Tensor? = nil, shift: Tensor? = nil, from origin: Tensor? = nil
  ) throws -> Tensor {
    let operation = ScaleShift(scale: scale, shift: shift, origin: origin)
    let output = try operation.forward(input)
    guard needsGradient(input, scale, shift) else { return output }
    // Only the scale's gradient needs the input itself.
    let kept = scale?.requiresGradient == true ? input : nil
    record(output) { [input = input.gradientKey] gradient, gradients in
      try gradients.addChannelSums(of: gradient, times: kept, toScale: scale, toShift: shift)
      guard scale != nil else { return try gradients.add(gradient, to: input) }
      try gradients.accumulate(into: input) { try operation.backward(gradient, addingTo: $0) }
    }
    return output
  }
}

/// The kernels behind a scale and a shift.
private struct ScaleShift {
  let scale, shift, origin: Tensor?

  private func key(_ function: String, _ plan: RowPlan, adds: Bool = false) -> KernelKey {
    var macros = plan.macros
    let operands = [("SCALE", scale), ("SHIFT", shift), ("ORIGIN", origin)]
    macros += operands.filter { $0.1 != nil }.map { .init($0.0, 1) }
    if adds { macros.append(.init("ADD", 1)) }
    return KernelKey("scale_shift", function, macros: macros)
  }

  func forward(_ x: Tensor) throws -> Tensor {
    for vector in [scale, shift, origin] {
      precondition(vector.map { $0.count == x.width } ?? true, "one value a channel")
    }
    let output = try Tensor(empty: x.shape, on: x.context)
    let plan = RowPlan(rows: x.rows, width: x.width, on: x.context)
    // Operands that the macros leave out are never read: any buffer stands in for them.
    try x.context.run(
      key("scale_shift_forward", plan), over: plan.global, group: plan.group, x.buffer,
      (scale ?? x).buffer, (shift ?? x).buffer, (origin ?? x).buffer, output.buffer, x.width, x.rows,
      plan.perGroup)
    return output
  }

  func backward(_ gradient: Tensor, addingTo sum: Tensor?) throws -> Tensor {
    let context = gradient.context
    let result = try Tensor(empty: gradient.shape, on: context)
    let plan = RowPlan(rows: gradient.rows, width: gradient.width, on: context)
    try context.run(
      key("scale_shift_backward", plan, adds: sum != nil), over: plan.global, group: plan.group,
      gradient.buffer, (scale ?? gradient).buffer, (sum ?? gradient).buffer, result.buffer, gradient.width,
      gradient.rows, plan.perGroup)
    return result
  }
}
