import GraftRuntime

/// The gradients of a model's small parameters on a GPU, in slices: products leave their sums over slices of the rows
/// here, and one launch at the end of the backward pass adds up those of all parameters.
///
/// A slice is laid out as the ``ParameterArena`` is.
final class GradientSlices {
  /// Most slices of a parameter.
  static let most = 32
  /// Parameters that would take more bytes, all slices together, are summed one by one.
  static let mostBytes = 64 << 20

  /// A parameter's place in every slice.
  struct Window {
    let slices: GradientSlices
    let index: Int

    /// In elements.
    var offset: Int { slices.places[index].offset }
    /// Slices that may hold something: those that a product does not need it must clear.
    var filled: Int {
      get { slices.places[index].filled }
      nonmutating set { slices.places[index].filled = newValue }
    }
  }

  private struct Place {
    /// In elements.
    let offset, end: Int
    var filled = 0
  }

  /// Elements from one slice to the next.
  let stride: Int
  private let gradients: Tensor
  private var memory: Tensor?
  private var places: [Place] = []

  /// - Parameters:
  ///   - gradients: where the sums go.
  ///   - stride: elements of it that have slices, from the first on.
  init(of gradients: Tensor, stride: Int) {
    (self.gradients, self.stride) = (gradients, stride)
  }

  /// Gives a parameter its place; in the order in which they lie.
  func window(offset: Int, end: Int) -> Window {
    places.append(Place(offset: offset, end: end))
    return Window(slices: self, index: places.count - 1)
  }

  /// Where slices are written.
  func target() throws -> Tensor {
    if let memory { return memory }
    // Zeros, because the gaps between parameters are summed too.
    let made = try Tensor.zeros([Self.most, stride], on: gradients.context)
    memory = made
    return made
  }

  /// Adds up the slices of some parameters: a launch for all that lie side by side.
  func sum(_ pending: Set<Int>) throws {
    guard let memory else { return }
    var rest = places.indices[...]
    while let first = rest.firstIndex(where: pending.contains) {
      let run = rest[first...].prefix(while: pending.contains)
      rest = rest[run.endIndex...]
      let (begin, end) = (places[first].offset, places[run.endIndex - 1].end)
      let quads = (end - begin + 3) / 4
      let group = min(64, memory.context.traits.largestGroup)
      try memory.context.run(
        KernelKey("gradient_slices", "gradient_slices"), over: [quads], group: [group], memory.buffer,
        gradients.buffer, begin, quads, stride, run.map { places[$0].filled }.max() ?? 0)
    }
  }
}
