import GraftOps
import GraftSystem
import Testing

@testable import Graft

/// What must hold of every adapter on every kind of backbone.
///
/// All adapters run on the plain model and on one with registers, and some adapters, one of each kind of site, on all
/// backbones; with GRAFT_GRID=1 all run on all.
@Suite(.serialized) struct CatalogueTests {
  struct Cell: Sendable, CustomTestStringConvertible {
    let method: String
    let backbone: TinyBackbone
    var testDescription: String { "\(method) on \(backbone.name)" }

    /// Adapters that fit blocks of 16 channels and a grid of 4 cells.
    func adapter() throws -> any Adapter {
      let settings: [String: [String: String]] = [
        "ila": ["locations": "[0]"], "ila+": ["locations": "[0]"], "ila++": ["locations": "[0]"],
        "dyn": ["exits": "[1]"], "vpt-shallow": ["prompts": "3"], "vpt-deep": ["prompts": "3"],
        "fact-tt": ["rank": "4"], "fact-tk": ["rank": "4"],
      ]
      return try Fixtures.adapter(method, settings[method] ?? [:])
    }

    func model() throws -> GraftedModel {
      try GraftedModel(backbone.backbone(), adapter: adapter(), classes: GraftedModel.names)
    }

    /// Why the adapter does not fit; `nil` where it does.
    var refusal: String? {
      // A gated MLP of EVA-02 has 42 hidden channels, which are no multiple of 16; DINOv2's and DINOv3's have 40.
      method.hasPrefix("fact")
        && (backbone.name.contains("gated") || backbone.name.contains("giant")
          || backbone.name.hasPrefix("eva02"))
        ? "does not divide" : nil
    }
  }

  static let cells: [Cell] = {
    let all = getenv("GRAFT_GRID") != nil
    let everywhere: Set = ["linear", "alore", "lora", "bitfit", "ssf", "ila"]
    return AdapterCatalog.names.flatMap { adapter in
      TinyBackbone.all.filter {
        all || everywhere.contains(adapter) || ["plain", "registers"].contains($0.name)
      }
      .map { Cell(method: adapter, backbone: $0) }
    }
  }()

  @Test(arguments: cells) func fitsOrSaysWhy(_ cell: Cell) throws {
    guard let refusal = cell.refusal else {
      let model = try cell.model()
      #expect(model.arena.count == model.summary.trainableParameters)
      return
    }
    let error = #expect(throws: GraftError.self) { try cell.model() }
    #expect(error?.description.contains(refusal) == true)
  }

  @Test(arguments: cells.filter { $0.refusal == nil }) func startsAsTheBackboneOrNot(_ cell: Cell) throws {
    let images = Fixtures.noise(2, size: 16)
    let model = try cell.model()
    let frozen = try GraftedModel(model.backbone, adapter: LinearProbe(), classes: GraftedModel.names)
    for part in ["head.weight", "head.bias"] {
      try frozen[part].value.assign(model[part].value.floats())
    }
    let (logits, expected) = try (model.logits(images), frozen.logits(images))
    guard model.adapter.startsAsBackbone else {
      #expect(relativeError(logits.flatMap { $0 }, expected.flatMap { $0 }) > 1e-4)
      return
    }
    let standsOnScaledLayers = try AdapterPlan(model.adapter, on: model.backbone.shape).places.contains {
      place in
      model.backbone.shape.parts.contains { $0.layerScale != nil && place.site == .on($0.last.id) }
    }
    if standsOnScaledLayers {
      // gamma * (x W^T + b) in two steps instead of gamma * (x W^T) + gamma * b in one: a rounding apart.
      #expect(relativeError(logits.flatMap { $0 }, expected.flatMap { $0 }) < 1e-6)
    } else {
      #expect(logits == expected)
    }
  }

  @Test(arguments: cells.filter { $0.refusal == nil }) func everyParameterLearns(_ cell: Cell) throws {
    let model = try cell.model()
    let images = Fixtures.noise(4, size: 16)
    let head = try model["head.weight"].value.floats()
    let before = try model.logits(images).flatMap { $0 }
    try model.perturb()
    #expect(try model.computeGradients(images).isFinite)
    for parameter in model.arena.parameters {
      let gradient = try parameter.gradient.floats()
      #expect(gradient.allSatisfy(\.isFinite) && gradient.contains { $0 != 0 }, "\(parameter.name)")
    }
    guard cell.method != "linear" else { return }
    try model["head.weight"].value.assign(head)
    #expect(try relativeError(model.logits(images).flatMap { $0 }, before) > 1e-3)
  }

  /// One adapter of each kind: every cell makes a context of its own.
  @Test(arguments: cells.filter { $0.refusal == nil && ["alore", "ila"].contains($0.method) })
  func memoryPlanIsTheRun(_ cell: Cell) throws {
    let context = try Context(Fixtures.context.get().device)
    let vit = try Backbone(
      cell.backbone.settings().shape(), weights: RandomWeights(seed: 1), file: nil,
      resampling: .bicubicAntialias, on: context)
    let model = try GraftedModel(vit, adapter: cell.adapter(), classes: GraftedModel.names)
    var recipe = Fixtures.recipe
    recipe.batchSize = 4
    let plan = try MemoryPlan.training(
      vit.shape, adapter: model.adapter, classes: 3, recipe: recipe, trainingImages: 4, validationImages: 4,
      on: context)
    let trainer = try Trainer(model, recipe: recipe)
    for _ in 0..<2 {
      for _ in 0..<2 { try trainer.stepInPlace(Fixtures.noise(4, size: 16)) }
      _ = try model.logits(Fixtures.noise(4, size: 16))
    }
    #expect(plan.peak == context.memory.peakBytes)
  }

  /// Blocks of two widths have no factors that all can share, and the adapter says so by what it needs.
  @Test func whatABackboneLacksIsTheReason() throws {
    let plain = Fixtures.plainShape
    let narrow = ViT(imageSize: 224, patchSize: 16, width: 384, depth: 12, heads: 6).listed
    let mixed = BackboneShape(
      architecture: plain.architecture, imageSize: plain.imageSize, normalization: plain.normalization,
      stem: plain.stem, blocks: [plain.blocks[0], narrow.blocks[1]], end: plain.end)
    let error = #expect(throws: GraftError.self) { try AdapterPlan(FacT(), on: mixed) }
    #expect(error?.description.contains("widths 384, 768") == true)
    // Through a composite too, and not for an adapter that does not need it.
    #expect(throws: GraftError.self) { try AdapterPlan(Dyn(host: FacT(), exits: [1]), on: mixed) }
    #expect(try AdapterPlan(BitFit(), on: mixed).parameterCount > 0)
  }
}
