import GraftOps

/// Trains every bias of the backbone and nothing else (arXiv 2106.10199).
///
/// Those of the linear layers, of the norms and of the patch embedding: 102,912 on ViT-B/16. A trained tensor is the bias
/// itself, under timm's name; it starts from the backbone's and takes its place, so that weight decay acts on it as it
/// does in PyTorch. The paper is about text; for images the method is a baseline of visual tuning's literature, and its preset
/// is that of other methods there.
public struct BitFit: Adapter {
  /// `bitfit`.
  public var name: String { "bitfit" }
  /// Names of the settings.
  public var settingNames: [String] { [] }

  /// Creates the method; there is nothing to set.
  public init() {}

  /// Declares the biases.
  public func plan(for shape: VisionTransformerShape) -> AdapterPlan {
    let operations = FrozenOperation.all(depth: shape.depth)
    var plan = AdapterPlan()
    for operation in operations {
      plan.declare(
        Self.bias(operation), [operation.width(shape).outputs], .copied(from: Self.bias(operation)))
    }
    plan.join = { tensors, sites in
      for operation in operations {
        let name = Self.bias(operation)
        sites.join(BiasModule(bias: tensors[name], frozen: try tensors.frozen(name)), on: operation)
      }
    }
    return plan
  }

  private static func bias(_ operation: FrozenOperation) -> String { "\(operation).bias" }
}

/// Another bias in place of the frozen one: `y + scale * (bias - frozen)`.
private struct BiasModule: OperationModule {
  let bias, frozen: Tensor

  func callAsFunction(_ output: Tensor, reading input: Tensor, layerScale: Tensor?, on tape: Tape) throws
    -> Tensor
  {
    try tape.scaleShift(output, shift: bias, from: frozen, times: layerScale)
  }
}

extension BitFit: MergeableAdapter {
  /// The biases themselves.
  func merged(
    into shape: VisionTransformerShape, adapter: (String) throws -> [Float],
    backbone: (String) throws -> [Float]
  ) throws -> [String: [Float]] {
    var changed: [String: [Float]] = [:]
    for operation in FrozenOperation.all(depth: shape.depth) {
      changed[Self.bias(operation)] = try adapter(Self.bias(operation))
    }
    return changed
  }
}
