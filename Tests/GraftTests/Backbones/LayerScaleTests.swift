import GraftOps
import Testing

@testable import Graft

/// A learned factor on what a part adds: in the product's last step, or behind what stands on the part's last layer.
@Suite(.serialized) struct LayerScaleTests {
  static let backbones = TinyBackbone.all.filter { (try? $0.settings().hasLayerScale) == true }

  /// Writes down what a layer read and gave.
  private final class Witness: OperationModule {
    private(set) var seen: [(read: Tensor, gave: Tensor)] = []

    func callAsFunction(_ output: Tensor, reading input: LinearInput, on tape: Tape) throws -> Tensor {
      seen.append((try input.tensor(), output))
      return output
    }
  }

  @Test(arguments: backbones) func whatStandsOnALayerSeesItBare(_ tiny: TinyBackbone) throws {
    let vit = try tiny.backbone()
    let weights = try #require(vit.weights)
    var sites = GraftedSites()
    let witnesses = vit.shape.parts.map { ($0, Witness()) }
    for (part, witness) in witnesses { try sites.join(witness, at: .on(part.last.id), of: "witness") }
    let input = try vit.input(Fixtures.noise(2, size: 16))
    let watched = try vit.features(of: input, sites: sites, on: Tape()).floats()
    #expect(try relativeError(watched, vit.features(of: input, on: Tape()).floats()) < 1e-6)
    for (part, witness) in witnesses {
      let (read, gave) = try #require(witness.seen.first)
      let tensors = try part.last.tensors.map {
        try Tensor(weights.floats($0), shape: $0.shape, on: vit.context)
      }
      let layer = try Tape().linear(read, weight: tensors[0], bias: tensors.dropFirst().first)
      #expect(try relativeError(gave.floats(), layer.floats()) < 1e-6, "\(part.id)")
    }
  }

  /// On its way down a gradient meets the scale once, wherever that is applied.
  @Test(arguments: backbones) func gradientsPassABareLayerAsAScaledOne(_ tiny: TinyBackbone) throws {
    let vit = try tiny.backbone()
    func gradients(_ targets: [LoRA.Target]) throws -> [[Float]] {
      let model = try GraftedModel(
        vit, adapter: LoRA(rank: 2, targets: targets), classes: GraftedModel.names)
      // Products on qkv work in both models; those on other layers start at nothing.
      let shared = model.arena.parameters.filter { $0.name.contains("qkv") }
      for parameter in shared {
        try parameter.value.assign(parameter.value.floats().map { $0 + 0.1 })
      }
      _ = try model.computeGradients(Fixtures.noise(4, size: 16))
      return try shared.map { try $0.gradient.floats() }
    }
    let (scaled, bare) = try (gradients([.qkv]), gradients([.qkv, .proj, .fc2]))
    #expect(scaled.count == 4 && bare.count == 4)
    for (bare, scaled) in zip(bare, scaled) { #expect(relativeError(bare, scaled) < 1e-5) }
  }

  /// The file with blocks that add nothing.
  private struct Muted: WeightSource {
    let file: CanonicalWeights

    func floats(_ tensor: TensorSpec) throws -> [Float] {
      try file.floats(tensor).map { tensor.name.hasSuffix(".gamma") ? 0 : $0 }
    }
  }

  /// Nothing is ever divided by the scale.
  @Test(arguments: ["bitfit", "ssf", "lora", "fact-tt"]) func mayBeZero(_ method: String) throws {
    let tiny = TinyBackbone(name: "dinov2")
    let file = try CanonicalWeights(TensorFiles.open(tiny.path))
    let vit = try Backbone(
      tiny.settings().shape(), weights: Muted(file: file), file: nil, resampling: .bicubicAntialias,
      on: Fixtures.context.get())
    let settings = [
      "lora": ["targets": "[\"qkv\", \"proj\", \"fc1\", \"fc2\"]"], "fact-tt": ["rank": "4"],
    ]
    let model = try GraftedModel(
      vit, adapter: Fixtures.adapter(method, settings[method] ?? [:]), classes: GraftedModel.names)
    try model.perturb()
    #expect(try model.computeGradients(Fixtures.noise(4, size: 16)).isFinite)
    for parameter in model.arena.parameters {
      let gradient = try parameter.gradient.floats()
      let isSilent = parameter.name.hasPrefix("blocks.") || parameter.name.hasPrefix("fact.")
      #expect(gradient.allSatisfy { $0.isFinite && ($0 == 0 || !isSilent) }, "\(parameter.name)")
    }
  }
}
