import GraftOps

/// Trains every bias of the backbone and nothing else (arXiv 2106.10199).
///
/// Those of the linear layers, of the norms and of the patch embedding: 102,912 on ViT-B/16; where keys have none, those of
/// queries and values. A trained tensor is the bias
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
  public func plan(for shape: BackboneShape) -> AdapterPlan {
    var plan = AdapterPlan()
    for operation in shape.operations {
      guard let count = ChannelShift.count(operation) else { continue }
      let name = operation.biasName
      plan.declare(name, [count], .copied(from: name))
      plan.join(
        .on(operation.id), macs: { _, _ in 0 },
        folds: [
          Fold(into: operation, changesBias: true, keepsKeys: true) { layer, trained in
            let bias = ChannelShift.full(try trained(name), of: operation)
            try layer.changeBias { $0 = bias }
          }
        ]
      ) { BiasModule(bias: try ChannelShift($0[name], of: operation), frozen: try $0.frozen(name)) }
    }
    return plan
  }
}

/// Another bias in place of the frozen one: `y + (bias - frozen)`.
private struct BiasModule: OperationModule {
  let bias: ChannelShift
  let frozen: Tensor

  func callAsFunction(_ output: Tensor, reading input: LinearInput, on tape: Tape) throws -> Tensor {
    try tape.scaleShift(output, shift: bias(on: tape), from: frozen)
  }
}
