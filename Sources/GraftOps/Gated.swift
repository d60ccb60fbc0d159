import GraftRuntime

extension Tape {
  /// A gated unit of the two halves of each row: `f(x[:, ..<h]) * x[:, h...]`.
  ///
  /// Its gradient keeps `input`.
  ///
  /// - Parameters:
  ///   - input: (..., 2 h), gate and value beside each other.
  ///   - activation: f, on the gate.
  /// - Returns: (..., h).
  /// - Throws: `RuntimeError` when the device fails.
  package func gated(_ input: Tensor, _ activation: Activation) throws -> Tensor {
    precondition(input.width % 2 == 0, "a gate and a value")
    let unit = GatedUnit(
      activation, width: input.width / 2, stride: input.width, valueOffset: input.width / 2)
    let output = try unit.forward(gate: input, value: input)
    guard needsGradient(input) else { return output }
    record(output) { gradient, gradients in
      try gradients.accumulate(into: input) { sum in
        let result = try input.gradientKey.empty()
        try unit.backward(
          gate: input, value: input, gradient, sums: (sum, sum), into: (result, result))
        return result
      }
    }
    return output
  }

  /// A gated unit of two matrices: `f(gate) * value`.
  ///
  /// Its gradients keep both.
  ///
  /// - Parameters:
  ///   - gate: (..., h).
  ///   - value: (..., h), another tensor.
  ///   - activation: f.
  /// - Returns: (..., h).
  /// - Throws: `RuntimeError` when the device fails.
  package func gated(_ gate: Tensor, _ value: Tensor, _ activation: Activation) throws -> Tensor {
    precondition(gate.shape == value.shape && gate !== value, "two tensors of one shape")
    let unit = GatedUnit(activation, width: gate.width, stride: gate.width, valueOffset: 0)
    let output = try unit.forward(gate: gate, value: value)
    guard needsGradient(gate, value) else { return output }
    record(output) { gradient, gradients in
      try gradients.accumulate(into: gate.gradientKey, value.gradientKey) { wanted, sums in
        let results = (
          wanted.0 ? try gate.gradientKey.empty() : nil, wanted.1 ? try value.gradientKey.empty() : nil
        )
        try unit.backward(gate: gate, value: value, gradient, sums: sums, into: results)
        return results
      }
    }
    return output
  }
}

/// The kernels behind gated units: gate and value are matrices of their own, or halves of one.
private struct GatedUnit {
  let activation: Activation
  /// h.
  let width: Int
  /// Floats from a row to the next, of gate and value alike.
  let stride: Int
  let valueOffset: Int

  init(_ activation: Activation, width: Int, stride: Int, valueOffset: Int) {
    self.activation = activation
    self.width = width
    self.stride = stride
    self.valueOffset = valueOffset
  }

  private func key(_ function: String, _ plan: RowPlan) -> KernelKey {
    KernelKey("activation", function, macros: plan.macros + [.init("ACTIVATION", activation.macro)])
  }

  func forward(gate: Tensor, value: Tensor) throws -> Tensor {
    let context = gate.context
    let output = try Tensor(empty: gate.shape.dropLast() + [width], on: context)
    let plan = RowPlan(rows: output.rows, width: width, on: context)
    try context.run(
      key("gated_forward", plan), over: plan.global, group: plan.group, gate.buffer, value.buffer,
      output.buffer, stride, valueOffset, width, output.rows, plan.perGroup)
    return output
  }

  /// Writes the gradients that have a place to go to, each with its sum so far added.
  func backward(
    gate: Tensor, value: Tensor, _ gradient: Tensor, sums: (Tensor?, Tensor?),
    into results: (Tensor?, Tensor?)
  ) throws {
    let context = gate.context
    let plan = RowPlan(rows: gradient.rows, width: width, on: context)
    guard let any = results.0 ?? results.1 else { return }
    let parts =
      (results.0 == nil ? 0 : 1) + (results.1 == nil ? 0 : 2) + (sums.0 == nil ? 0 : 4)
      + (sums.1 == nil ? 0 : 8)
    // Operands that the parts leave out are not touched: any buffer stands in for them.
    try context.run(
      key("gated_backward", plan), over: plan.global, group: plan.group, gate.buffer, value.buffer,
      gradient.buffer, (sums.0 ?? gradient).buffer, (sums.1 ?? gradient).buffer, (results.0 ?? any).buffer,
      (results.1 ?? any).buffer, stride, valueOffset, width, gradient.rows, plan.perGroup, parts)
  }
}
