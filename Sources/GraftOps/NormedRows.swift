import GraftRuntime

/// Rows behind a frozen layer norm that are not in memory: products on a GPU compute them as they read what is in front.
///
/// What a row's norm is begins with sums over its chunks (Kernels/matmul_tiles.cl), left by the product that made the row.
package final class NormedRows {
  let input: Tensor
  let norm: LayerNorm
  let chunks: Tensor
  /// Of what is behind the norm.
  package let gradientKey: GradientKey
  /// (rows, 3) as layer_norm.cl keeps them, once somebody has computed them.
  private(set) var statistics: Tensor?
  /// Kept by whoever reads it, and not for the backward pass, which needs the input alone.
  private weak var values: Tensor?

  init(_ input: Tensor, chunks: Tensor, behind norm: LayerNorm) {
    (self.input, self.chunks, self.norm) = (input, chunks, norm)
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
    let (output, statistics) = try norm.forward(input, gradientKey: gradientKey)
    values = output
    if self.statistics == nil { self.statistics = statistics }
    return output
  }
}

extension Tape {
  /// Rows behind a layer norm, computed by the products that read them where those can, and else now.
  ///
  /// - Parameter input: (..., D).
  package func normed(_ input: Tensor, behind norm: LayerNorm) throws -> LinearInput {
    guard let chunks = input.chunks, !norm.weight.requiresGradient, !norm.bias.requiresGradient else {
      return .rows(
        try layerNorm(input, weight: norm.weight, bias: norm.bias, epsilon: norm.epsilon))
    }
    let normed = NormedRows(input, chunks: chunks, behind: norm)
    guard needsGradient(input) else { return .behindNorm(normed) }
    record([normed.gradientKey]) { received, gradients in
      guard let gradient = received[0], let statistics = normed.statistics else { return }
      try gradients.accumulate(into: input) {
        try norm.backward(input, gradient, statistics: statistics, addingTo: $0)
      }
    }
    return .behindNorm(normed)
  }
}
