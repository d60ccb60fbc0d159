import GraftRuntime

/// Element-wise non-linearities.
public enum Activation: String, Sendable, Codable {
  /// The identity.
  case none
  /// `x * Phi(x)`, exact (by erf, not tanh).
  case gelu
  /// `x * sigmoid(1.702 x)`.
  case quickGELU
  /// `max(x, 0)`.
  case relu
  /// `x * sigmoid(x)`, also called swish.
  case silu
  /// `0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`: GELU as JAX computes it by default.
  ///
  /// It is off the exact one by 5e-4 at most: a backbone wants the one it was trained with.
  case geluTanh

  /// The number of f in kernels that apply it (`activate` in common.cl).
  package var macro: Int {
    switch self {
    case .none: 0
    case .gelu: 1
    case .quickGELU: 2
    case .relu: 3
    case .silu: 4
    case .geluTanh: 5
    }
  }

  /// `gradient * f'(preactivation)`: for operations that fold an activation in and keep its input.
  ///
  /// - Parameters:
  ///   - sum: when given, is added to the result and stays unchanged.
  ///   - element: of the result: float32, or uint16 for bf16.
  package static func backward(
    _ kind: Activation, preactivation: Tensor, gradient: Tensor, addingTo sum: Tensor? = nil,
    as element: Tensor.Element = .float32
  ) throws -> Tensor {
    precondition(preactivation.count == gradient.count, "one gradient an element")
    guard kind != .none else {
      guard let sum else { return gradient.reshaped(preactivation.shape) }
      return try Elementwise.add(sum, gradient)
    }
    let context = preactivation.context
    let result = try Tensor(empty: preactivation.shape, element: element, on: context)
    let plan = ElementwisePlan(count: result.count, on: context)
    var macros = plan.macros + [.init("ACTIVATION", kind.macro)] + element.resultMacros
    if sum != nil { macros.append(.init("ADD", 1)) }
    try context.run(
      KernelKey("activation", "activation_backward", macros: macros), over: [plan.items], group: [plan.group],
      preactivation.buffer, gradient.buffer,
      (sum ?? gradient).buffer, result.buffer, result.count, plan.perGroup)
    return result
  }
}

extension Tape {
  /// The non-linearity of every element.
  ///
  /// Its gradient keeps `input`.
  package func activation(_ input: Tensor, _ kind: Activation) throws -> Tensor {
    guard kind != .none else { return input }
    let context = input.context
    let output = try Tensor(empty: input.shape, on: context)
    let plan = ElementwisePlan(count: output.count, on: context)
    try context.run(
      KernelKey("activation", "activation_forward", macros: plan.macros + [.init("ACTIVATION", kind.macro)]),
      over: [plan.items],
      group: [plan.group], input.buffer, output.buffer, output.count, plan.perGroup)
    guard needsGradient(input) else { return output }
    record(output) { gradient, gradients in
      try gradients.accumulate(into: input) { sum in
        try Activation.backward(kind, preactivation: input, gradient: gradient, addingTo: sum)
      }
    }
    return output
  }
}
