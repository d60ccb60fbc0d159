/// One of the two branches of a block, for adapters that treat both alike.
enum Branch: String, CaseIterable {
  case attention = "attn"
  case mlp

  /// In sequence before the branch, behind its norm.
  func before(_ block: Int) -> Site {
    self == .attention ? .beforeAttention(block: block) : .beforeMLP(block: block)
  }

  /// Beside the branch, reading the same normalised tokens.
  func beside(_ block: Int) -> Site {
    self == .attention ? .besideAttention(block: block) : .besideMLP(block: block)
  }

  /// On what the branch adds to the residual stream.
  func after(_ block: Int) -> Site {
    self == .attention ? .afterAttention(block: block) : .afterMLP(block: block)
  }

  /// The frozen linear layer that reads what stands before the branch.
  func first(_ block: Int) -> FrozenOperation {
    self == .attention ? .qkv(block: block) : .fc1(block: block)
  }
}

extension Branch {
  /// The tensors that change when every branch's first linear layer takes in what stands before it.
  ///
  /// - Parameters:
  ///   - shape: the backbone.
  ///   - backbone: values of the backbone's tensors by name.
  ///   - merge: a layer's weight (outputs, D) and bias (outputs) to the new ones.
  static func mergeFirst(
    _ shape: VisionTransformerShape, _ backbone: (String) throws -> [Float],
    _ merge: (Int, Branch, _ weight: [Float], _ bias: [Float]) throws -> (weight: [Float], bias: [Float])
  ) rethrows -> [String: [Float]] {
    var changed: [String: [Float]] = [:]
    for block in 0..<shape.depth {
      for branch in allCases {
        let linear = branch.first(block).description
        let merged = try merge(
          block, branch, try backbone("\(linear).weight"), try backbone("\(linear).bias"))
        changed["\(linear).weight"] = merged.weight
        changed["\(linear).bias"] = merged.bias
      }
    }
    return changed
  }
}
