package import GraftOps
package import GraftRuntime

/// One operation at one shape: the single description that drives its correctness test, its gradient check and its
/// microbenchmark.
package struct OperationCase: Sendable, CustomStringConvertible {
  /// An input and how to fill it.
  package struct Input: Sendable {
    let shape: [Int]
    let range: ClosedRange<Float>
    let isDifferentiable: Bool

    /// - Parameters:
    ///   - shape: its dimensions.
    ///   - range: values are drawn uniformly from it.
    ///   - differentiable: its gradient is checked, and computed in the benchmark of the backward pass.
    package init(_ shape: [Int], in range: ClosedRange<Float> = -1...1, differentiable: Bool = false) {
      self.shape = shape
      self.range = range
      isDifferentiable = differentiable
    }
  }

  /// What values are rounded to when they are drawn.
  enum Numbers {
    case floats
    /// Numbers that bf16 holds, for operations that round to it.
    case bfloats
    /// Whole numbers, whose products and sums have no rounding error.
    case integers
  }

  /// What the oracle says.
  package struct Expected {
    let values: [Double]
    let magnitudes: [Double]

    /// - Parameters:
    ///   - values: the outputs in float64.
    ///   - magnitudes: for each output the sum of the absolute values of what was added up: the scale on which a
    ///     rounding error is measured. Without it the largest output counts.
    package init(_ values: [Double], magnitudes: [Double]? = nil) {
      self.values = values
      let most = values.reduce(1e-30) { max($0, abs($1)) }
      self.magnitudes = magnitudes ?? [Double](repeating: most, count: values.count)
    }
  }

  /// Multiply-accumulates and bytes moved at the least by one forward pass.
  package struct Cost: Sendable {
    package let macs: Double
    package let bytes: Double
    package init(macs: Double = 0, bytes: Double) {
      self.macs = macs
      self.bytes = bytes
    }
  }

  /// Operation and shape, such as `layer_norm 1576x768`.
  package let description: String
  /// The operation's name: that of its kernel file.
  package let operation: String
  let inputs: [Input]
  /// Length of the longest sum in the operation that is rounded with `epsilon`, for the tolerance.
  let terms: Int
  /// What one forward pass costs.
  package let cost: Cost
  private let setUp: @Sendable (Context) throws -> (Tape, [Tensor]) throws -> Tensor
  let reference: @Sendable ([[Double]]) -> Expected
  /// Which numbers inputs and upstream gradients are drawn from.
  var numbers = Numbers.floats
  /// Twice the relative error of rounding once, for the tolerance.
  var epsilon = Double(Float.ulpOfOne)
  /// Asks for a variant that holds a tile in a processor's vector registers, whatever the device's own choice.
  package var holdsRegisterTiles = false

  /// - Parameters:
  ///   - operation: name of the kernel file.
  ///   - shape: the shape in words.
  ///   - inputs: in the order that `forward` and `reference` take them.
  ///   - terms: length of the longest sum, for the tolerance `c * sqrt(terms) * epsilon * magnitude`.
  ///   - cost: of one forward pass.
  ///   - forward: the operation on the device.
  ///   - reference: the same in float64 loops.
  package init(
    _ operation: String, _ shape: String, inputs: [Input], terms: Int, cost: Cost,
    forward: @escaping @Sendable (Tape, [Tensor]) throws -> Tensor,
    reference: @escaping @Sendable ([[Double]]) -> Expected
  ) {
    self.operation = operation
    description = "\(operation) \(shape)"
    self.inputs = inputs
    self.terms = terms
    self.cost = cost
    setUp = { _ in forward }
    self.reference = reference
  }

  /// A case whose frozen weights are prepared once, before anything is timed.
  ///
  /// - Parameter prepared: prepares on a device and returns the operation; the others as above.
  package init(
    _ operation: String, _ shape: String, inputs: [Input], terms: Int, cost: Cost,
    prepared: @escaping @Sendable (Context) throws -> (Tape, [Tensor]) throws -> Tensor,
    reference: @escaping @Sendable ([[Double]]) -> Expected
  ) {
    self.operation = operation
    description = "\(operation) \(shape)"
    self.inputs = inputs
    self.terms = terms
    self.cost = cost
    setUp = prepared
    self.reference = reference
  }

  /// The operation, with whatever it prepares.
  func forward(on context: Context) throws -> (Tape, [Tensor]) throws -> Tensor { try setUp(context) }
}
