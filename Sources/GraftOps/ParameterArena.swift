public import GraftRuntime

/// All trainable parameters of a model in one stretch of memory each for values, gradients and moments.
///
/// One launch then clears, clips or steps every parameter, however many there are.
public final class ParameterArena {
  /// The parameters, in the order they were declared.
  public let parameters: [Parameter]
  /// All values; parameters are windows onto it.
  ///
  /// Gaps between parameters stay zero.
  package let values: Tensor
  /// All gradients.
  package let gradients: Tensor
  /// Where each parameter starts in both, in elements, and where the last ends.
  private let starts: [Int]

  /// Lays out parameters with these initial values.
  ///
  /// - Throws: `RuntimeError` when the device has no memory left.
  public init(_ declared: [(name: String, shape: [Int], values: [Float])], on context: Context) throws {
    let alignment = max(64, context.traits.subBufferAlignment)
    var offsets: [Int] = []
    var end = 0
    for entry in declared {
      offsets.append(end)
      let bytes = entry.shape.reduce(1, *) * 4
      end += (bytes + alignment - 1) / alignment * alignment
    }
    values = try Tensor.zeros([max(end / 4, 1)], on: context)
    gradients = try Tensor.zeros([max(end / 4, 1)], on: context)
    var parameters: [Parameter] = []
    for (entry, offset) in zip(declared, offsets) {
      let bytes = entry.shape.reduce(1, *) * 4
      let value = Tensor(
        context, shape: entry.shape, buffer: try values.buffer.slice(at: offset, byteCount: bytes))
      let gradient = Tensor(
        context, shape: entry.shape, buffer: try gradients.buffer.slice(at: offset, byteCount: bytes))
      (value.whole, value.start) = (values, offset / 4)
      try value.assign(entry.values)
      parameters.append(Parameter(name: entry.name, value: value, gradient: gradient))
    }
    self.parameters = parameters
    starts = (offsets + [end]).map { $0 / 4 }
    guard !context.traits.isCPU else { return }
    let most = GradientSlices.mostBytes / (4 * GradientSlices.most)
    let small = starts.dropFirst().prefix { $0 <= most }
    let slices = GradientSlices(of: gradients, stride: small.last ?? 0)
    for (parameter, (offset, next)) in zip(parameters, zip(starts, small)) {
      parameter.value.gradientKey.slices = slices.window(offset: offset, end: next)
    }
  }

  /// Number of trainable scalars.
  public var count: Int { parameters.reduce(0) { $0 + $1.count } }

  /// Elements that the first `count` parameters span, the gaps between them included.
  package func elements(ofFirst count: Int) -> Int { starts[count] }

  /// The parameter that an element lies in, or in the gap behind it.
  package func parameter(at element: Int) -> Parameter? {
    starts.dropLast().lastIndex { $0 <= element }.map { parameters[$0] }
  }

  /// Sets all gradients to zero.
  package func clearGradients() throws {
    try gradients.context.fill(gradients.buffer, with: 0, byteCount: gradients.count * 4)
  }
}
