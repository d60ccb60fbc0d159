import GraftOps

extension ALoRE: MergeableAdapter {
  /// `W' = W (I + s Delta)`, `b' = b + s W c` for qkv and fc1, in the blocked form that never makes a D x D matrix.
  func merged(
    into shape: VisionTransformerShape, adapter: (String) throws -> [Float],
    backbone: (String) throws -> [Float]
  ) throws -> [String: [Float]] {
    try Branch.mergeFirst(shape, backbone) { block, branch, weight, bias in
      let name = Self.name(block, branch)
      return Kronecker.merged(
        weight: weight, bias: bias, a: try adapter(sharesA ? "alore.A" : "\(name).A"),
        u: try adapter("\(name).U"), v: try adapter("\(name).V"),
        adapterBias: hasBias ? try adapter("\(name).bias") : nil, scale: scale, outputs: bias.count,
        experts: experts, rank: rank)
    }
  }
}
