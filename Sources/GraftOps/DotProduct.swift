package import GraftRuntime

/// The self-checks of products by a processor's bf16 dot-product instruction.
package enum DotProduct {
  /// True where the device has the instruction and a small product, with every edge, comes out right; computed once a
  /// device that is open.
  package static func isRight(on context: Context) -> Bool {
    guard context.traits.hasDotProduct else { return false }
    return context.selfChecks.verdict(on: MatmulVariant.cpuDotProduct.rawValue) {
      // In memory of its own, so that a check changes no plan, and a rehearsal computes it in earnest.
      (try? check(context.apart())) ?? false
    }
  }

  /// True where ``AttentionVariant/cpuDotProduct`` agrees with the variant in floats, forwards and backwards.
  static func attendsRightly(on context: Context) -> Bool {
    guard context.traits.hasDotProduct else { return false }
    return context.selfChecks.verdict(on: "attention.\(AttentionVariant.cpuDotProduct.rawValue)") {
      (try? checkAttention(context.apart())) ?? false
    }
  }

  private static func checkAttention(_ context: Context) throws -> Bool {
    // The head of nearly all models, whose program is compiled anyway; a key and a query short of a pair.
    let qkv = try Tensor(
      (0..<9 * 3 * 64).map { Float($0 * 37 % 101) / 64 - 0.75 }, shape: [1, 9, 3 * 64], on: context)
    let gradient = try Tensor(
      (0..<9 * 64).map { Float($0 * 29 % 97) / 64 - 0.75 }, shape: [1, 9, 64], on: context)
    let shape = try AttentionShape(qkv, heads: 1, queries: nil)
    func results(_ variant: AttentionVariant) throws -> [[Float]] {
      let kernels = shape.kernels(variant, on: context)
      let (output, logSumExp) = try kernels.forward(qkv)
      return [
        try output.floats(), try kernels.backward(qkv, output, logSumExp, gradient).floats(),
      ]
    }
    return try zip(results(.cpuDotProduct), results(.cpu)).allSatisfy { pairs, floats in
      let most = floats.reduce(0) { max($0, abs($1)) }
      return zip(pairs, floats).allSatisfy { abs($0 - $1) < 0x1p-6 * most }
    }
  }

  private static func check(_ context: Context) throws -> Bool {
    let (m, n, k) = (15, 35, 67)
    // Small whole numbers, which bf16 and every sum hold exactly: any order of additions must give the same.
    let a = (0..<m * k).map { Float($0 * 7 % 13 - 6) }
    let b = (0..<n * k).map { Float($0 * 5 % 11 - 5) }
    let matrix = try Tensor(b, shape: [n, k], on: context)
    let panels = try MatmulPanels(
      matrix, inner: k, columns: n, transposed: true, precision: .bf16, isPaired: true)
    let output = try Tensor(empty: [m, n], on: context)
    try MatmulKernels.registers(
      Tensor(a, shape: [m, k], on: context), panels, rows: m, epilogue: .init(), into: output)
    let expected = (0..<m * n).map { index in
      (0..<k).reduce(Float(0)) { $0 + a[index / n * k + $1] * b[index % n * k + $1] }
    }
    return try output.floats() == expected
  }
}
