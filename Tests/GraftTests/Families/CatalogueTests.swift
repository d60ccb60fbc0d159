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

  private static let runsAllOnAll = getenv("GRAFT_GRID") != nil

  static let cells: [Cell] = {
    let everywhere: Set = ["linear", "alore", "lora", "bitfit", "ssf", "ila", "vpt-deep"]
    return AdapterCatalog.names.flatMap { adapter in
      TinyBackbone.all.filter {
        runsAllOnAll || everywhere.contains(adapter) || ["plain", "registers"].contains($0.name)
      }
      .map { Cell(method: adapter, backbone: $0) }
    }
  }()

  static let fitting = cells.filter { $0.refusal == nil }

  @Test(arguments: cells) func fitsOrSaysWhy(_ cell: Cell) throws {
    guard let refusal = cell.refusal else {
      let model = try cell.model()
      #expect(model.arena.count == model.summary.trainableParameters)
      return
    }
    let error = #expect(throws: GraftError.self) { try cell.model() }
    #expect(error?.description.contains(refusal) == true)
  }

  @Test(arguments: fitting) func startsAsTheBackboneOrNot(_ cell: Cell) throws {
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

  @Test(arguments: fitting) func everyParameterLearns(_ cell: Cell) throws {
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

  @Test(arguments: fitting) func saveAndLoadGiveTheSameBits(_ cell: Cell) async throws {
    try await Fixtures.withFolder { path in
      let model = try cell.model()
      try model.perturb()
      let images = Fixtures.noise(3, size: 16)
      let logits = try model.logits(images)
      try model.save(to: path)
      let beside = try GraftedModel(AdapterFolder(path: path), on: model.backbone)
      #expect(try beside.logits(images) == logits)
      #expect(try beside.bits() == model.bits())
      // The grid of EVA-02's rotary positions is in the fixtures' metadata alone; all else, file and folder say.
      if case .index? = model.backbone.shape.vit.rotation?.coordinates { return }
      let loaded = try GraftedModel(path: path, on: model.backbone.context)
      #expect(try loaded.logits(images) == logits && loaded.classes == model.classes)
    }
  }

  @Test(arguments: fitting) func mergesUnderItsFilesNamesOrRefuses(_ cell: Cell) async throws {
    try await Fixtures.withFolder { folder in
      let model = try cell.model()
      try model.perturb()
      let (backbone, path) = (model.backbone, folder / "merged.safetensors")
      // RepAdapter's shift goes into the bias of what it stands before.
      let hasPlace =
        cell.method != "repadapter" || backbone.shape.parts.allSatisfy { $0.first.bias == .stored }
      let merges = MergeTests.mergeable.contains(cell.method) && hasPlace
      #expect(model.adapter.isMergeable(on: backbone.shape) == merges)
      guard merges else {
        let error = #expect(throws: GraftError.self) { try model.merge(to: path) }
        guard case .notMergeable? = error else {
          Issue.record("\(String(describing: error))")
          return
        }
        #expect(!path.exists)
        return
      }
      try model.merge(to: path)
      let (merged, file) = try (
        CanonicalWeights(TensorFiles.open(path)), TensorFiles.open(cell.backbone.path)
      )
      #expect(Set(merged.file.tensors.keys) == Set(file.tensors.keys).union(["head.weight", "head.bias"]))
      let plain = try GraftedModel(
        Backbone(
          backbone.shape, weights: merged, file: merged, resampling: backbone.positionResampling,
          on: backbone.context), adapter: LinearProbe(), classes: model.classes)
      for parameter in plain.arena.parameters { try parameter.value.assign(merged.floats(parameter.name)) }
      let images = Fixtures.noise(3, size: 16)
      let (logits, expected) = try (plain.logits(images).flatMap { $0 }, model.logits(images).flatMap { $0 })
      #expect(relativeError(logits, expected) < 1e-5)
    }
  }

  /// One adapter of each kind of site, and but for the first on two backbones: every cell makes a context of its own.
  static let planned = fitting.filter {
    let isAmong = runsAllOnAll || ["plain", "registers"].contains($0.backbone.name)
    return $0.method == "alore" || ["ila", "ssf", "convpass", "vpt-deep"].contains($0.method) && isAmong
  }

  @Test(arguments: planned)
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
