import GraftRuntime

extension Tape {
  /// A scale and a shift of each channel, `x * scale + factor * (shift - origin)`.
  ///
  /// Either part may be absent. Gradients: of the input `dy * scale`, of the scale the sum over rows of `dy * x`, of the
  /// shift `factor` times the sum over rows of dy.
  ///
  /// - Parameters:
  ///   - input: (..., D).
  ///   - scale: (D); absent it is 1.
  ///   - shift: (D); absent it is 0, and so are the two that follow.
  ///   - origin: (D), frozen: what is taken off the shift; absent it is 0.
  ///   - factor: (D), frozen: on the shift; absent it is 1.
  /// - Throws: `RuntimeError` when the device fails.
  package func scaleShift(
    _ input: Tensor, scale: Tensor? = nil, shift: Tensor? = nil, from origin: Tensor? = nil,
    times factor: Tensor? = nil
  ) throws -> Tensor {
    let operation = ScaleShift(scale: scale, shift: shift, origin: origin, factor: factor)
    let output = try operation.forward(input)
    guard needsGradient(input, scale, shift) else { return output }
    // Only the scale's gradient needs the input itself.
    let kept = scale?.requiresGradient == true ? input : nil
    record(output) { [input = input.gradientKey] gradient, gradients in
      if scale?.requiresGradient == true || shift?.requiresGradient == true {
        let partials = try operation.partials(kept, gradient)
        if let scale, scale.requiresGradient {
          try gradients.sum(into: scale) { try partials.finish(.scale, factor: nil, base: $0, into: $1) }
        }
        if let shift, shift.requiresGradient {
          try gradients.sum(into: shift) { try partials.finish(.shift, factor: factor, base: $0, into: $1) }
        }
      }
      guard scale != nil else { return try gradients.add(gradient, to: input) }
      try gradients.accumulate(into: input) { try operation.backward(gradient, addingTo: $0) }
    }
    return output
  }
}

/// The kernels behind a scale and a shift.
private struct ScaleShift {
  let scale, shift, origin, factor: Tensor?

  private func key(_ function: String, _ context: Context, adds: Bool = false) -> KernelKey {
    var macros = [KernelKey.Macro("LANES", context.rowLanes)]
    let operands = [("SCALE", scale), ("SHIFT", shift), ("ORIGIN", origin), ("FACTOR", factor)]
    macros += operands.filter { $0.1 != nil }.map { .init($0.0, 1) }
    if adds { macros.append(.init("ADD", 1)) }
    return KernelKey("scale_shift", function, macros: macros)
  }

  func forward(_ x: Tensor) throws -> Tensor {
    for vector in [scale, shift, origin, factor] {
      precondition(vector.map { $0.count == x.width } ?? true, "one value a channel")
    }
    let output = try Tensor(empty: x.shape, on: x.context)
    let plan = RowPlan(rows: x.rows, on: x.context)
    // Operands that the macros leave out are never read: any buffer stands in for them.
    try x.context.run(
      key("scale_shift_forward", x.context), over: [plan.items], group: [plan.group], x.buffer,
      (scale ?? x).buffer, (shift ?? x).buffer, (origin ?? x).buffer, (factor ?? x).buffer, output.buffer,
      x.width, x.rows, plan.perGroup)
    return output
  }

  func backward(_ gradient: Tensor, addingTo sum: Tensor?) throws -> Tensor {
    let context = gradient.context
    let result = try Tensor(empty: gradient.shape, on: context)
    let plan = RowPlan(rows: gradient.rows, on: context)
    try context.run(
      key("scale_shift_backward", context, adds: sum != nil), over: [plan.items], group: [plan.group],
      gradient.buffer, (scale ?? gradient).buffer, (sum ?? gradient).buffer, result.buffer, gradient.width,
      gradient.rows, plan.perGroup)
    return result
  }

  /// Sums over slices of the rows.
  ///
  /// - Parameter x: the input, when the scale's gradient is wanted.
  func partials(_ x: Tensor?, _ gradient: Tensor) throws -> Partials {
    let (rows, width) = (gradient.rows, gradient.width)
    // A fixed target, not the device's number of units: the same bits wherever the same kernels run.
    let wanted = max(1, min(32, rows / 64))
    let perSlice = (rows + wanted - 1) / wanted
    let slices = (rows + perSlice - 1) / perSlice
    let sums = try Tensor(empty: [slices, 2, width], on: gradient.context)
    try gradient.context.run(
      KernelKey("scale_shift", "scale_shift_partials", macros: x == nil ? [] : [.init("SCALE", 1)]),
      over: [(width + 15) / 16, slices], group: [1, 1], (x ?? gradient).buffer, gradient.buffer, sums.buffer,
      width, rows, perSlice)
    return Partials(sums: sums, slices: slices)
  }

  struct Partials {
    let sums: Tensor
    let slices: Int

    enum Part: Int { case scale, shift }

    func finish(_ part: Part, factor: Tensor?, base: Tensor?, into target: Tensor) throws {
      let context = sums.context
      let perItem = context.traits.isCPU ? 1024 : 1
      let group = context.traits.isCPU ? 1 : min(64, context.traits.maxWorkGroupSize)
      var macros: [KernelKey.Macro] = []
      if factor != nil { macros.append(.init("FACTOR", 1)) }
      if base != nil { macros.append(.init("ADD", 1)) }
      try context.run(
        KernelKey("scale_shift", "scale_shift_finish", macros: macros),
        over: [(sums.width + perItem - 1) / perItem], group: [group], sums.buffer, (factor ?? target).buffer,
        (base ?? target).buffer, target.buffer, part.rawValue, sums.width, slices, perItem)
    }
  }
}
