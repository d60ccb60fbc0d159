/// How the work of a module at one place goes into a frozen layer, where it is linear at inference.
struct Fold: Sendable {
  /// The layer.
  let operation: FrozenOperation
  /// Whether the layer's bias changes, for which its file must have a place.
  let changesBias: Bool
  /// Whether it changes no more of a bias than files store.
  let keepsKeys: Bool
  /// Changes the layer, given the values of trained tensors by name.
  let apply: @Sendable (_ layer: inout DenseLayer, _ trained: (String) throws -> [Double]) throws -> Void

  init(
    into operation: FrozenOperation, changesBias: Bool = false, keepsKeys: Bool = false,
    _ apply: @escaping @Sendable (inout DenseLayer, (String) throws -> [Double]) throws -> Void
  ) {
    self.operation = operation
    self.changesBias = changesBias
    self.keepsKeys = keepsKeys
    self.apply = apply
  }

  /// Whether the file has a place for all that changes of the bias.
  var hasPlaceForBias: Bool {
    switch operation.bias {
    case .stored: true
    case .partial: keepsKeys
    case .absent: false
    }
  }
}

/// A frozen layer `x W^T + b` while trained work is folded into it: in float64, rounded once at the end.
struct DenseLayer {
  /// Rows of the weight.
  let outputs: Int
  /// Columns of the weight.
  let inputs: Int
  private let read: (_ tensor: String) throws -> [Float]
  private let operation: FrozenOperation
  private var weight, bias: [Double]?

  /// - Parameter read: values of the backbone's tensors by name; asked for what changes alone.
  init(_ operation: FrozenOperation, reading read: @escaping (String) throws -> [Float]) {
    (outputs, inputs) = (operation.outputs, operation.inputs)
    self.operation = operation
    self.read = read
  }

  /// Changes the weight (outputs, inputs), of a norm (outputs).
  mutating func changeWeight(_ change: (inout [Double]) throws -> Void) throws {
    var values = try weight ?? read(operation.weightName).map(Double.init)
    weight = nil
    try change(&values)
    weight = values
  }

  /// Changes the bias (outputs).
  mutating func changeBias(_ change: (inout [Double]) throws -> Void) throws {
    var values = try bias ?? read(operation.biasName).map(Double.init)
    bias = nil
    try change(&values)
    bias = values
  }

  /// Changes weight and bias together.
  mutating func change(_ change: (_ weight: inout [Double], _ bias: inout [Double]) throws -> Void) throws {
    var layer = self
    try changeWeight { weight in try layer.changeBias { bias in try change(&weight, &bias) } }
    bias = layer.bias
  }

  /// Adds `scale * up down` into the rows from `row` and the columns from `column`.
  ///
  /// - Parameters:
  ///   - up: (rows, rank).
  ///   - down: (rank, columns).
  mutating func add(
    _ scale: Double, _ up: [Double], times down: [Double], rank: Int, row: Int = 0, column: Int = 0
  ) throws {
    let (inputs, columns) = (inputs, down.count / rank)
    try changeWeight { sums in
      for offset in 0..<up.count / rank {
        let start = (row + offset) * inputs + column
        for inner in 0..<rank {
          let factor = scale * up[offset * rank + inner]
          for j in 0..<columns { sums[start + j] += factor * down[inner * columns + j] }
        }
      }
    }
  }

  /// The tensors that changed, by name.
  var changed: [String: [Float]] {
    var tensors: [String: [Float]] = [:]
    tensors[operation.weightName] = weight?.map { Float($0) }
    tensors[operation.biasName] = bias?.map { Float($0) }
    return tensors
  }
}
