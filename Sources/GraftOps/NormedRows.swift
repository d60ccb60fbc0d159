import GraftRuntime

/// Rows behind a frozen layer norm that are not in memory: products on a GPU compute them as they read what is in front.
///
/// What a row's norm is begins with sums over its chunks (Kernels/matmul_tiles.cl), left by the product that made the row.
package final class NormedRows {
  let input: Tensor
  let weight: Tensor
  let bias: Tensor
  let epsilon: Float
  let chunks: Tensor
  /// Of what is behind the norm.
  package let gradientKey: GradientKey
  /// (rows, 3) as layer_norm.cl keeps them, once somebody has computed them.
  private(set) var statistics: Tensor?
  private var values: Tensor?

  init(_ input: Tensor, chunks: Tensor, weight: Tensor, bias: Tensor, epsilon: Float) {
    (self.input, self.chunks, self.weight, self.bias, self.epsilon) = (input, chunks, weight, bias, epsilon)
    gradientKey = GradientKey(context: input.context, shape: input.shape)
  }

  /// Where the next product is to leave the statistics; `nil` where they are known, or nobody will ask for them.
  func missingStatistics() throws -> Tensor? {
    guard statistics == nil, gradientKey.requiresGradient else { return nil }
    let empty = try Tensor(empty: [input.rows, 3], on: input.context)
    statistics = empty
    return empty
  }

  /// The rows in memory, for whoever does not fold the norm in.
  package func tensor() throws -> Tensor {
    if let values { return values }
    let norm = LayerNorm(weight: weight, bias: bias, epsilon: epsilon)
    let (output, statistics) = try norm.forward(input, gradientKey: gradientKey)
    values = output
    if self.statistics == nil { self.statistics = statistics }
    return output
  }
}

extension Tape {
  /// Rows behind a layer norm, computed by the products that read them where those can, and else now.
  ///
  /// - Parameters:
  ///   - input: (..., D).
  ///   - weight: (D).
  ///   - bias: (D).
  ///   - epsilon: added to the biased variance.
  package func normed(
    _ input: Tensor, weight: Tensor, bias: Tensor, epsilon: Float
  ) throws -> LinearInput {
    guard let chunks = input.chunks, !weight.requiresGradient, !bias.requiresGradient else {
      return .rows(try layerNorm(input, weight: weight, bias: bias, epsilon: epsilon))
    }
    let normed = NormedRows(input, chunks: chunks, weight: weight, bias: bias, epsilon: epsilon)
    guard needsGradient(input) else { return .behindNorm(normed) }
    record([normed.gradientKey]) { received, gradients in
      guard let gradient = received[0], let statistics = normed.statistics else { return }
      let norm = LayerNorm(weight: weight, bias: bias, epsilon: epsilon)
      try gradients.accumulate(into: input) {
        try norm.backward(input, gradient, statistics: statistics, addingTo: $0)
      }
    }
    return .behindNorm(normed)
  }
}
