extension RepAdapter: MergeableAdapter {
  /// `W' = W (I + s Wb Wa)`, `b' = b + s W (Wb ba + bb)` for qkv and fc1, through the bottleneck and in float64.
  func merged(
    into shape: VisionTransformerShape, adapter: (String) throws -> [Float],
    backbone: (String) throws -> [Float]
  ) throws -> [String: [Float]] {
    try Branch.mergeFirst(shape, backbone) { block, branch, weight, bias in
      let name = Self.name(block, branch)
      let down = try adapter("\(name).down.weight")
      let downBias = try adapter("\(name).down.bias")
      let up = try adapter("\(name).up.weight")
      let upBias = try adapter("\(name).up.bias")
      var (weight, bias) = (weight, bias)
      for output in bias.indices {
        let row = output * shape.width..<(output + 1) * shape.width
        let (hidden, constant) = through(up, upBias, weight[row])
        var sum = Double(bias[output]) + constant
        var merged = weight[row].map(Double.init)
        for (channel, factor) in hidden.enumerated() {
          sum += factor * Double(downBias[channel])
          let from = channel * shape.width
          for column in merged.indices { merged[column] += factor * Double(down[from + column]) }
        }
        bias[output] = Float(sum)
        weight.replaceSubrange(row, with: merged.lazy.map { Float($0) })
      }
      return (weight, bias)
    }
  }

  /// A row w of the frozen weight times the adapter's second layer: `s w Wb` (k) and `s w bb`.
  private func through(_ up: [Float], _ bias: [Float], _ row: ArraySlice<Float>) -> ([Double], Double) {
    let part = bottleneck / groups
    var hidden = [Double](repeating: 0, count: bottleneck)
    var constant = 0.0
    for (channel, weight) in row.enumerated() {
      let factor = Double(scale) * Double(weight)
      let first = channel / (row.count / groups) * part
      for index in 0..<part { hidden[first + index] += factor * Double(up[channel * part + index]) }
      constant += factor * Double(bias[channel])
    }
    return (hidden, constant)
  }
}
