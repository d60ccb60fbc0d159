import GraftOps
import GraftSystem

/// Cases of the non-linearities.
package enum ActivationCases {
  /// Every kind, in whole vectors, in tails, in several work-items, and out to where erf saturates.
  package static let checks: [OperationCase] = kinds.flatMap { kind in
    [1, 15, 16, 37, 4096 + 17].map { make(kind, count: $0, range: -3...3) }
      + [
        make(kind, count: 300, range: -9...9), make(kind, count: 64, range: 20...100),
        make(kind, count: 64, range: -10_000...10_000), make(kind, count: 64, range: -1e-4...1e-4),
      ]
  }
  /// The hidden layer of ViT-B at batch 8.
  package static let benchmarks = [Activation.gelu, .silu, .geluTanh].map {
    make($0, count: 1576 * 3072, range: -3...3)
  }

  /// All but the identity.
  static let kinds: [Activation] = [.gelu, .quickGELU, .relu, .silu, .geluTanh]

  /// f(x) in float64.
  static func value(_ kind: Activation, of x: Double) -> Double {
    switch kind {
    case .none: x
    case .gelu: x * 0.5 * erfc(-x / 2.0.squareRoot())
    case .quickGELU: x / (1 + exp(-1.702 * x))
    case .relu: max(x, 0)
    case .silu: x / (1 + exp(-x))
    case .geluTanh: 0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
    }
  }

  private static func make(_ kind: Activation, count: Int, range: ClosedRange<Float>) -> OperationCase {
    OperationCase(
      "activation", "\(kind) \(count) in \(range)", inputs: [.init([count], in: range, differentiable: true)],
      terms: 1, cost: .init(bytes: Double(8 * count)),
      forward: { tape, inputs in try tape.activation(inputs[0], kind) },
      reference: { inputs in
        // An approximation of erf or exp is off by a few units of 1, times x.
        .init(inputs[0].map { value(kind, of: $0) }, magnitudes: inputs[0].map { max(abs($0), 0.05) })
      })
  }
}
