/// Where a backbone's weights come from: a file, seeded random numbers for measurements without one, or nowhere.
protocol WeightSource {
  /// The tensor's values, row-major.
  func floats(_ name: String, _ shape: [Int]) throws -> [Float]
}

extension SafetensorsFile: WeightSource {
  func floats(_ name: String, _ shape: [Int]) throws -> [Float] { try floats(name, requireFinite: true) }
}

/// Random weights of ordinary size, for `graft bench` with an architecture's name in place of a file.
struct RandomWeights: WeightSource {
  let seed: UInt64

  func floats(_ name: String, _ shape: [Int]) -> [Float] {
    let count = shape.reduce(1, *)
    if name.hasSuffix("norm.weight") || name.contains("norm1.weight") || name.contains("norm2.weight")
      || name.hasSuffix("gamma")
    {
      return [Float](repeating: 1, count: count)
    }
    if name.hasSuffix("bias") { return [Float](repeating: 0, count: count) }
    // Uniform with timm's deviation 0.02: drawing is quick, and only sizes matter here.
    return Initializer.uniform(bound: 0.02 * Float(3).squareRoot()).values(
      count: count, name: name, seed: seed)
  }
}

/// No weights at all, for a rehearsal that never looks at them.
struct BlankWeights: WeightSource {
  func floats(_ name: String, _ shape: [Int]) -> [Float] {
    [Float](repeating: 0, count: shape.reduce(1, *))
  }
}
