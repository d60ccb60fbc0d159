package import GraftRuntime

/// Every case of every operation.
package enum AllCases {
  /// Small shapes, for correctness, of every operation and every variant that a device can run.
  ///
  /// Register tiles are left out where they take minutes to compile: they are never chosen there.
  package static func checks(on traits: DeviceTraits) -> [OperationCase] {
    let all =
      checks
      + (traits.hasDotProduct ? LinearCases.dotProductChecks + AttentionCases.dotProductChecks : [])
      + (traits.isCPU ? [] : KroneckerCases.tileChecks)
    return traits.quirks.contains(.slowPrivateVectors) ? all.filter { !$0.holdsRegisterTiles } : all
  }

  /// Small shapes, for correctness on any device.
  private static let checks: [OperationCase] = [
    LayerNormCases.checks,
    ActivationCases.checks,
    GatedCases.checks,
    ElementwiseCases.checks,
    LinearCases.checks,
    GroupedLinearCases.checks,
    TokensCases.checks,
    UnfoldCases.checks,
    PatchEmbeddingCases.checks,
    DropoutCases.checks,
    DropPathCases.checks,
    RotaryCases.checks,
    HeadNormCases.checks,
    AttentionCases.checks,
    DepthwiseConvCases.checks,
    BatchNormCases.checks,
    KroneckerCases.checks,
    CrossEntropyCases.checks,
    ScaleShiftCases.checks,
    ColumnsCases.checks,
    TransposeCases.checks,
    OptimizerCases.checks,
  ].flatMap { $0 }

  /// The widths of models and odd ones, of what runs over rows, arrays and channels.
  package static let widths: [OperationCase] =
    [
      LayerNormCases.widths, ElementwiseCases.widths, CrossEntropyCases.widths, ScaleShiftCases.widths,
      UnfoldCases.widths, BatchNormCases.widths,
    ].flatMap { $0 }
    + [
      ActivationCases.checks, GatedCases.checks, TokensCases.checks, PatchEmbeddingCases.checks,
      DropoutCases.checks, DropPathCases.checks, RotaryCases.checks, HeadNormCases.checks,
      DepthwiseConvCases.checks, ColumnsCases.checks, TransposeCases.checks, OptimizerCases.checks,
    ].flatMap { $0 }

  /// Shapes of real models, for timing.
  package static func benchmarks(on traits: DeviceTraits) -> [OperationCase] {
    benchmarks + (traits.hasDotProduct ? AttentionCases.dotProductBenchmarks : [])
  }

  private static let benchmarks: [OperationCase] = [
    LayerNormCases.benchmarks,
    ActivationCases.benchmarks,
    GatedCases.benchmarks,
    ElementwiseCases.benchmarks,
    LinearCases.benchmarks,
    GroupedLinearCases.benchmarks,
    TokensCases.benchmarks,
    UnfoldCases.benchmarks,
    PatchEmbeddingCases.benchmarks,
    DropoutCases.benchmarks,
    DropPathCases.benchmarks,
    RotaryCases.benchmarks,
    HeadNormCases.benchmarks,
    AttentionCases.benchmarks,
    DepthwiseConvCases.benchmarks,
    BatchNormCases.benchmarks,
    KroneckerCases.benchmarks,
    CrossEntropyCases.benchmarks,
    ScaleShiftCases.benchmarks,
    ColumnsCases.benchmarks,
    TransposeCases.benchmarks,
    OptimizerCases.benchmarks,
  ].flatMap { $0 }
}
