extension Kronecker {
  /// A linear layer and the Kronecker adapter before it as one linear layer: `W' = W (I + scale * Delta)` and
  /// `b' = b + scale * W c`.
  ///
  /// Blocked, so that no D x D matrix is formed: with W cut into n groups of columns W_a,
  /// `W'_b = W_b + scale * sum_i (sum_a A_i[a,b] W_a U_i) V_i`. In float64 on the host, rounded once at the end.
  ///
  /// - Parameters:
  ///   - weight: (outputs, D) of the linear layer that follows the adapter.
  ///   - bias: (outputs), if any.
  ///   - a: (n, n, n).
  ///   - u: (n, D/n, r).
  ///   - v: (n, r, D/n).
  ///   - adapterBias: (D), if any.
  ///   - scale: of the adapter.
  ///   - outputs: outputs of the layer.
  ///   - experts: n.
  ///   - rank: r.
  /// - Returns: the merged weight, and the merged bias, which is there also when the layer had none.
  package static func merged(
    weight: [Float], bias: [Float]?, a: [Float], u: [Float], v: [Float], adapterBias: [Float]?, scale: Float,
    outputs: Int, experts n: Int, rank r: Int
  ) -> (weight: [Float], bias: [Float]) {
    let width = weight.count / outputs
    let part = width / n
    precondition(weight.count == outputs * width && width == n * part, "W is (outputs, D) and n divides D")
    precondition(a.count == n * n * n && u.count == width * r && v.count == width * r, "sizes of A, U, V")
    let s = Double(scale)
    let (a, u, v) = (a.map(Double.init), u.map(Double.init), v.map(Double.init))
    var mergedWeight = weight
    var mergedBias = bias ?? [Float](repeating: 0, count: outputs)
    var inner = [Double](repeating: 0, count: n)
    var row = [Double](repeating: 0, count: width)
    for output in 0..<outputs {
      let w = weight[output * width..<(output + 1) * width].map(Double.init)
      for channel in 0..<width { row[channel] = w[channel] }
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
            factor *= s
            for q in 0..<part { row[b * part + q] += factor * v[(i * r + k) * part + q] }
          }
        }
      }
      for channel in 0..<width { mergedWeight[output * width + channel] = Float(row[channel]) }
      if let adapterBias {
        let shift = zip(w, adapterBias).reduce(0) { $0 + $1.0 * Double($1.1) }
        mergedBias[output] = Float(Double(mergedBias[output]) + s * shift)
      }
    }
    return (mergedWeight, mergedBias)
  }
}
