extension Kronecker {
  /// Folds a Kronecker adapter into the linear layer behind it: `W' = W (I + scale * Delta)`.
  ///
  /// Blocked, so that no D x D matrix is formed: with W cut into n groups of columns W_a,
  /// `W'_b = W_b + scale * sum_i (sum_a A_i[a,b] W_a U_i) V_i`.
  ///
  /// - Parameters:
  ///   - weight: (outputs, D) of the linear layer; changed in place.
  ///   - a: (n, n, n).
  ///   - u: (n, D/n, r).
  ///   - v: (n, r, D/n).
  ///   - scale: of the adapter.
  ///   - outputs: outputs of the layer.
  ///   - experts: n.
  ///   - rank: r.
  package static func fold(
    a: [Double], u: [Double], v: [Double], scale: Double, outputs: Int, experts n: Int, rank r: Int,
    into weight: inout [Double]
  ) {
    let width = weight.count / outputs
    let part = width / n
    precondition(weight.count == outputs * width && width == n * part, "W is (outputs, D) and n divides D")
    precondition(a.count == n * n * n && u.count == width * r && v.count == width * r, "sizes of A, U, V")
    var inner = [Double](repeating: 0, count: n)
    for output in 0..<outputs {
      let start = output * width
      let w = Array(weight[start..<start + width])
      for i in 0..<n {
        for k in 0..<r {
          // (W_a U_i)[k] for every a, then what each group of columns b gets of V_i's row k.
          for group in 0..<n {
            var sum = 0.0
            for p in 0..<part { sum += w[group * part + p] * u[(i * part + p) * r + k] }
            inner[group] = sum
          }
          for b in 0..<n {
            var factor = 0.0
            for group in 0..<n { factor += a[(i * n + group) * n + b] * inner[group] }
            factor *= scale
            for q in 0..<part { weight[start + b * part + q] += factor * v[(i * r + k) * part + q] }
          }
        }
      }
    }
  }
}
