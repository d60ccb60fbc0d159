package import GraftRuntime

/// Sums and scalings of tensors of equal shape.
package enum Elementwise {
  /// `a + b`.
  package static func add(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    precondition(a.count == b.count, "shapes differ")
    let output = try Tensor(empty: a.shape, on: a.context)
    try launch("add", count: a.count, on: a.context, a.buffer, b.buffer, output.buffer)
    return output
  }

  /// `sum += a`, in place.
  package static func accumulate(_ a: Tensor, into sum: Tensor) throws {
    precondition(a.count == sum.count, "shapes differ")
    try launch("add", count: a.count, on: a.context, a.buffer, sum.buffer, sum.buffer)
  }

  /// `factor * a`.
  package static func scale(_ a: Tensor, by factor: Float) throws -> Tensor {
    let output = try Tensor(empty: a.shape, on: a.context)
    try launch("scale", count: a.count, on: a.context, a.buffer, output.buffer, factor)
    return output
  }

  private static func launch(
    _ function: String, count: Int, on context: Context, _ arguments: any KernelArgument...
  ) throws {
    let plan = ElementwisePlan(count: count, on: context)
    let kernel = KernelKey("elementwise", function, macros: plan.macros)
    try context.run(
      kernel, over: [plan.items], group: [plan.group], arguments: arguments + [count, plan.perGroup])
  }
}

/// How a kernel over an array is spread over a device (FOR_ELEMENTS in common.cl): a CPU gets few items with long runs, a
/// GPU as many as there are loads of four floats.
package struct ElementwisePlan {
  /// Consecutive elements of one group, which is one work-item on a CPU; a multiple of the floats of a load.
  package let perGroup: Int
  /// Work-items.
  package let items: Int
  /// Work-items of a group.
  package let group: Int
  /// What the kernel must be built with.
  package let macros: [KernelKey.Macro]

  package init(count: Int, on context: Context) {
    let isCPU = context.traits.isCPU
    var lanes = isCPU ? 1 : 64
    while lanes > context.traits.largestGroup || lanes * 4 > context.traits.localMemory { lanes /= 2 }
    perGroup = isCPU ? 4096 : lanes == 1 ? 16 : 4 * lanes
    items = (count + perGroup - 1) / perGroup * lanes
    group = lanes
    macros = [.init("LANES", lanes)]
  }
}

extension Tape {
  /// `a + b`.
  package func add(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    let output = try Elementwise.add(a, b)
    if needsGradient(a, b) {
      record(output) { [a = a.gradientKey, b = b.gradientKey] gradient, gradients in
        try gradients.add(gradient, to: a)
        try gradients.add(gradient, to: b)
      }
    }
    return output
  }

  /// `factor * input`; at 1 the input itself.
  package func scale(_ input: Tensor, by factor: Float) throws -> Tensor {
    guard factor != 1 else { return input }
    let output = try Elementwise.scale(input, by: factor)
    if needsGradient(input) {
      record(output) { [input = input.gradientKey] gradient, gradients in
        try gradients.add(Elementwise.scale(gradient, by: factor), to: input)
      }
    }
    return output
  }

  /// The same values under another shape.
  package func reshape(_ input: Tensor, to shape: [Int]) -> Tensor {
    let output = input.reshaped(shape)
    if needsGradient(input) {
      record(output) { [input = input.gradientKey] gradient, gradients in
        try gradients.add(gradient.reshaped(input.shape), to: input)
      }
    }
    return output
  }
}
