import GraftOps

extension ALoRE: MergeableAdapter {
  /// `W' = W (I + s Delta)`, `b' = b + s W c` for qkv and fc1, in the blocked form that never makes a D x D matrix.
  func merged(
    into shape: VisionTransformerShape, adapter: (String) throws -> [Float],
    backbone: (String) throws -> [Float]
  ) throws -> [String: [Float]] {
    var changed: [String: [Float]] = [:]
    for block in 0..<shape.depth {
      for branch in Branch.allCases {
        let name = Self.name(block, branch)
        let linear = branch.first(block).description
        let outputs = branch.first(block).width(shape).outputs
        let merged = Kronecker.merged(
          weight: try backbone("\(linear).weight"), bias: try backbone("\(linear).bias"),
          a: try adapter(sharesA ? "alore.A" : "\(name).A"), u: try adapter("\(name).U"),
          v: try adapter("\(name).V"), adapterBias: hasBias ? try adapter("\(name).bias") : nil, scale: scale,
          outputs: outputs, experts: experts, rank: rank)
        changed["\(linear).weight"] = merged.weight
        changed["\(linear).bias"] = merged.bias
      }
    }
    return changed
  }
}
