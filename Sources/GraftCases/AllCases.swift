/// Every case of every operation.
package enum AllCases {
  /// Small shapes, for correctness on any device.
  package static let checks: [OperationCase] = LayerNormCases.checks + ActivationCases.checks
  /// Shapes of real models, for timing.
  package static let benchmarks: [OperationCase] = LayerNormCases.benchmarks + ActivationCases.benchmarks
}
