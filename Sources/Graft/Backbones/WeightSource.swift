/// Where a backbone's weights come from: a file, seeded random numbers for measurements without one, or nowhere.
protocol WeightSource {
  /// The tensor's values, row-major.
  func floats(_ tensor: TensorSpec) throws -> [Float]
}

/// Random weights of ordinary size, for `graft bench` with an architecture's name in place of a file.
struct RandomWeights: WeightSource {
  let seed: UInt64

  func floats(_ tensor: TensorSpec) -> [Float] {
    let count = tensor.shape.reduce(1, *)
    switch tensor.purpose {
    case .scale: return [Float](repeating: 1, count: count)
    case .bias: return [Float](repeating: 0, count: count)
    case .weight:
      // Uniform with timm's deviation 0.02: drawing is quick, and only sizes matter here.
      return Initializer.uniform(bound: 0.02 * Float(3).squareRoot()).values(
        count: count, name: tensor.name, seed: seed)
    }
  }
}

/// No weights at all, for a rehearsal that never looks at them.
struct BlankWeights: WeightSource {
  func floats(_ tensor: TensorSpec) -> [Float] {
    [Float](repeating: 0, count: tensor.shape.reduce(1, *))
  }
}
