// swift-format-ignore-file: NeverForceUnwrap

import Foundation
import GraftOps
import GraftSystem
import Testing

@testable import Graft

/// What must hold of every adapter, whatever it computes (after the PEFT library's common tests).
@Suite(.serialized) struct AdapterTests {
  @Test(arguments: AdapterCatalog.names)
  func startsAsTheFrozenModelOrNot(_ name: String) throws {
    let vit = try Fixtures.smallViT()
    let images = Fixtures.noise(2)
    let model = try GraftedModel.small(name, on: vit)
    // The probe is the frozen model with a head; give the adapter's model the same head.
    let frozen = try GraftedModel.small("linear", on: vit)
    for part in ["head.weight", "head.bias"] {
      try frozen[part].value.assign(model[part].value.floats())
    }
    let isSame = try model.logits(images) == frozen.logits(images)
    #expect(isSame == model.adapter.startsAsBackbone)
  }

  @Test(arguments: AdapterCatalog.names.filter { $0 != "linear" })
  func perturbedAdapterChangesTheModel(_ name: String) throws {
    let model = try GraftedModel.small(name)
    let images = Fixtures.noise(2)
    let head = try model["head.weight"].value.floats()
    let before = try model.logits(images).flatMap { $0 }
    try model.perturb()
    try model["head.weight"].value.assign(head)
    #expect(try relativeError(model.logits(images).flatMap { $0 }, before) > 1e-2)
  }

  @Test(arguments: AdapterCatalog.names)
  func everyParameterGetsAGradient(_ name: String) throws {
    let model = try GraftedModel.small(name)
    try model.perturb()
    #expect(try model.computeGradients(Fixtures.noise(6)).isFinite)
    for parameter in model.arena.parameters {
      let gradient = try parameter.gradient.floats()
      #expect(gradient.allSatisfy { $0.isFinite }, "\(parameter.name)")
      #expect(gradient.contains { $0 != 0 }, "\(parameter.name) learns nothing")
    }
  }

  @Test(arguments: AdapterCatalog.names)
  func trainsWhatItDeclaresAndNothingElse(_ name: String) throws {
    let model = try GraftedModel.small(name)
    let trained = Set(model.arena.parameters.map(\.name).filter { !$0.hasPrefix("exits.") })
    #expect(model.arena.count == model.summary.trainableParameters)
    let plan = try model.adapter.plan(for: model.backbone.shape)
    let declared = Set(plan.declarations.map(\.name))
    #expect(declared.count == plan.declarations.count, "no name twice")
    #expect(
      trained == declared.union(["head.weight", "head.bias"] + (plan.trainsClassToken ? ["cls_token"] : [])))
    // A tensor under a name of the backbone's takes the place of that tensor, and starts from it.
    for declaration in plan.declarations where model.backbone.shape.shapesByName[declaration.name] != nil {
      #expect(declaration.initializer == .copied(from: declaration.name))
    }
  }

  /// A step changes the adapter and leaves the frozen part alone.
  @Test(arguments: AdapterCatalog.names)
  func stepLeavesTheBackboneAlone(_ name: String) throws {
    let vit = try Fixtures.smallViT()
    let images = Fixtures.noise(4)
    let frozen = try vit.features(of: vit.input(images), on: Tape()).floats()
    let model = try GraftedModel.small(name, on: vit)
    let before = try model.bits()
    let optimizer = try AdamW(model.arena)
    for _ in 0..<2 {
      _ = try model.computeGradients(images)
      try optimizer.step(learningRate: 0.1)
    }
    let after = try model.bits()
    for (name, values) in before { #expect(after[name] != values, "\(name) did not move") }
    #expect(try vit.features(of: vit.input(images), on: Tape()).floats() == frozen)
  }

  @Test(arguments: AdapterCatalog.names)
  func saveAndLoadGiveTheSameBits(_ name: String) async throws {
    try await Fixtures.withFolder { folder in
      let model = try GraftedModel.small(name)
      try model.perturb()
      let images = Fixtures.noise(3)
      try model.save(to: folder)
      let loaded = try GraftedModel(path: folder, on: Fixtures.context.get())
      #expect(try (loaded.logits(images) == model.logits(images)))
      #expect(try (loaded.bits() == model.bits()))
      #expect(loaded.classes == model.classes && loaded.summary == model.summary)
      #expect(try (JSONValue(encoding: loaded.adapter) == JSONValue(encoding: model.adapter)))
      // Another model in memory on the same backbone reads it too.
      let beside = try GraftedModel(AdapterFolder(path: folder), on: model.backbone)
      #expect(try (beside.logits(images) == model.logits(images)))
    }
  }

  @Test(arguments: AdapterCatalog.names)
  func fileHoldsAdapterAndHeadOnly(_ name: String) async throws {
    try await Fixtures.withFolder { folder in
      let model = try GraftedModel.small(name)
      try model.save(to: folder)
      let file = try SafetensorsFile(path: folder / "adapter_model.safetensors")
      let prefix = try AdapterFolder(path: folder).tensorPrefix
      #expect(prefix.isEmpty == ((model.adapter as? any PEFTAdapter)?.peftNames(on: model.backbone) == nil))
      let expected = model.stateShapes.map { (prefix + $0.key, $0.value) }
      #expect(file.tensors.mapValues(\.shape) == Dictionary(uniqueKeysWithValues: expected))
      let statistics = model.statistics.reduce(0) { $0 + 2 * $1.values.mean.count }
      let scalars = file.tensors.values.reduce(0) { $0 + $1.count }
      #expect(scalars == model.summary.trainableParameters + statistics)
    }
  }

  @Test func positionResamplingIsRemembered() async throws {
    try await Fixtures.withFolder { folder in
      let vit = try Fixtures.smallViT(imageSize: 64, resampling: .bilinearAlignedCorners)
      let model = try GraftedModel.small("linear", on: vit)
      try model.save(to: folder)
      let loaded = try GraftedModel(path: folder, on: Fixtures.context.get())
      let images = Fixtures.noise(2, size: 64)
      #expect(try (loaded.logits(images) == model.logits(images)))
      try model.merge(to: folder / "merged.safetensors")
      let merged = try GraftedModel(merged: folder / "merged.safetensors", on: Fixtures.context.get())
      #expect(try (merged.logits(images) == model.logits(images)))
    }
  }

  @Test func twoModelsOnOneBackboneDoNotMix() throws {
    let context = try Context(Fixtures.context.get().device)
    let vit = try Backbone(path: Fixtures.smallPath, options: .init(heads: 4), on: context)
    let images = Fixtures.noise(2)
    let alone = context.memory.bytesInUse
    let first = try GraftedModel.small("alore", on: vit)
    try first.perturb()
    let made = context.memory.bytesInUse
    let before = try first.logits(images)
    let bits = try first.bits()
    let one = context.memory.bytesInUse
    let second = try GraftedModel.small("ila++", on: vit, seed: 5)
    try second.perturb(seed: 9)
    let optimizer = try SGD(second.arena)
    _ = try second.computeGradients(images)
    try optimizer.step(learningRate: 0.1)
    #expect(try first.logits(images) == before)
    #expect(try first.bits() == bits)
    #expect(try second.logits(images) != before)

    // A model adds its own values and gradients (rounded up to pages), once it has answered its weights as kernels read
    // them, and no copy of the backbone.
    let backbone = 4 * vit.shape.parameterCount
    #expect(alone >= backbone)
    let pages = first.arena.parameters.count * 2 * context.traits.subBufferAlignment + 3 * 4096
    #expect(made - alone <= 2 * 4 * first.arena.count + pages)
    #expect(one - alone < backbone / 4)
  }

  /// An app with one model a user: all of them share the backbone that the first one loaded.
  @Test func foldersShareABackboneInMemory() throws {
    let context = try Context(Fixtures.context.get().device)
    let folder = temporaryPath()
    defer { try? FileManager.default.removeItem(atPath: folder.string) }
    let vit = try Backbone(path: Fixtures.smallPath, options: .init(heads: 4), on: context)
    let other = try Backbone(
      path: Fixtures.smallPath, options: .init(imageSize: 64, heads: 4), on: context)
    for (name, backbone) in [("alore", vit), ("ila++", vit), ("linear", other)] {
      try GraftedModel.small(name, on: backbone).save(to: folder / "\(name)")
    }
    let first = try GraftedModel(path: folder / "alore", sharing: [other, vit], on: context)
    #expect(first.backbone === vit)
    let before = context.memory.bytesInUse
    let second = try GraftedModel(path: folder / "ila++", sharing: [first.backbone], on: context)
    #expect(second.backbone === vit)
    // Values and gradients, statistics of batch normalisations, rounded up to pages.
    let alignment = context.traits.subBufferAlignment
    let pages = second.arena.parameters.count * 2 * alignment + (3 + 2 * second.statistics.count) * 4096
    #expect(context.memory.bytesInUse - before <= 2 * 4 * second.arena.count + pages)
    #expect(context.memory.bytesInUse - before < vit.shape.parameterCount)
    // Prepared for other images, it is another backbone.
    let third = try GraftedModel(path: folder / "linear", sharing: [vit], on: context)
    #expect(third.backbone !== vit && third.backbone.shape.imageSize == 64)
    let alone = try GraftedModel(path: folder / "ila++", on: context)
    #expect(try alone.logits(Fixtures.noise(2)) == second.logits(Fixtures.noise(2)))
  }

  @Test func differentSeedsDiffer() throws {
    let vit = try Fixtures.smallViT()
    for name in AdapterCatalog.names {
      let (a, b) = (try GraftedModel.small(name, on: vit), try GraftedModel.small(name, on: vit))
      #expect(try (a.bits() == b.bits()))
      #expect(try (GraftedModel.small(name, on: vit, seed: 1).bits() != a.bits()))
    }
  }

  /// A batch is only a way to compute several images at once.
  @Test(arguments: AdapterCatalog.names)
  func batchesDoNotMatter(_ name: String) throws {
    let model = try GraftedModel.small(name)
    try model.perturb()
    let all = Fixtures.noise(7)
    let whole = try model.logits(all).flatMap { $0 }
    let length = 48 * 48 * 3
    for parts in [[0..<3, 3..<7], (0..<7).map { $0..<$0 + 1 }] {
      let split = try parts.flatMap { part in
        let pixels = Array(all.pixels[part.lowerBound * length..<part.upperBound * length])
        return try model.logits(ImageBatch(count: part.count, imageSize: 48, pixels: pixels)).flatMap { $0 }
      }
      #expect(relativeError(split, whole) < 1e-6)
    }
  }

  // MARK: Prompts and the patch grid

  /// The model itself shows how many tokens there are, not only the summary.
  @Test(arguments: [VPT.Variant.shallow, .deep])
  func promptsJoinTheTokens(_ variant: VPT.Variant) throws {
    let vit = try Fixtures.smallViT()
    let model = try GraftedModel.small(variant.rawValue, ["prompts": "5"], on: vit)
    #expect(model.summary.tokens == [42])
    #expect(model.summary.adapterParameters == (variant == .deep ? 6 : 1) * 5 * 64)
    let module = PromptModule(
      prompts: try Tensor([Float](repeating: 2, count: 5 * 64), shape: [5, 64], on: vit.context), dropout: 0.5
    )
    let values = (0..<2 * 37 * 64).map { Float($0 / 64) }
    let tokens = Tokens(try Tensor(values, shape: [2, 37, 64], on: vit.context), vit.shape.start)
    let once = try module(tokens, on: Tape())
    #expect(once.layout.count == 42 && once.values.shape == [2, 42, 64])
    // Prompts are replaced, not heaped up, and nothing else moves.
    var expected: [Float] = []
    for start in [0, 37] {
      expected.append(Float(start))
      expected += [Float](repeating: 2, count: 5)
      expected += (1...36).map { Float(start + $0) }
    }
    for output in [once, try module(once, on: Tape())] {
      let values = try output.values.floats()
      #expect((0..<84).map { values[64 * $0] } == expected)
    }
    // In training each image drops elements of its own, and the kept ones are scaled up.
    let dropped = try module(tokens, on: Tape(.training(seed: 1))).values.floats()
    let (first, second) = (dropped[64..<6 * 64], dropped[43 * 64..<48 * 64])
    #expect(Array(first) != Array(second) && Set(first) == [0, 4] && Set(second) == [0, 4])
  }

  /// Where the backbone has no token of its own, prompts come first.
  @Test func promptsStandAloneBeforeTheCells() throws {
    let vit = try TinyBackbone(name: "plain_gap").backbone()
    try #require(vit.shape.start.front == 0 && vit.shape.start.count == 16)
    let tokens = Tokens(
      try Tensor((0..<2 * 16 * 16).map { Float($0 / 16) }, shape: [2, 16, 16], on: vit.context),
      vit.shape.start)
    let prompts = try Tensor([Float](repeating: 2, count: 3 * 16), shape: [3, 16], on: vit.context)
    let module = PromptModule(prompts: prompts, dropout: 0.5)
    let once = try module(tokens, on: Tape())
    let values = try once.values.floats()
    #expect(once.layout.prompts == 3 && once.values.shape == [2, 19, 16])
    var expected: [Float] = []
    for start in [0, 16] { expected += [2, 2, 2] + (start..<start + 16).map { Float($0) } }
    #expect((0..<38).map { values[16 * $0] } == expected)
    #expect(try module(once, on: Tape()).values.floats() == values)
    let dropped = try module(tokens, on: Tape(.training(seed: 1))).values.floats()
    let (first, second) = (dropped[..<48], dropped[19 * 16..<22 * 16])
    #expect(Array(first) != Array(second) && Set(first) == [0, 4] && Set(second) == [0, 4])
  }

  /// Prompts for a model whose other modules read neighbours on the grid.
  private struct Mixed: Adapter {
    var name: String { "mixed" }
    var settingNames: [String] { [] }
    let other: String

    func plan(for shape: BackboneShape) throws -> AdapterPlan {
      let prompts = try VPT(.shallow, prompts: 3).plan(for: shape)
      var plan = try AdapterCatalog.named(other).plan(for: shape)
      plan.declarations += prompts.declarations
      plan.places = prompts.places + plan.places
      return plan
    }
  }

  @Test(arguments: AdapterCatalog.names.filter { !$0.hasPrefix("vpt") })
  func promptsAndTheGridExcludeEachOther(_ other: String) throws {
    let vit = try Fixtures.smallViT()
    func model() throws -> GraftedModel {
      try GraftedModel(vit, adapter: Mixed(other: other), classes: GraftedModel.names)
    }
    guard ["ila", "ila+", "ila++", "convpass"].contains(other) else {
      #expect(try model().logits(Fixtures.noise(2)).joined().allSatisfy(\.isFinite))
      return
    }
    let error = #expect(throws: GraftError.self) { try model() }
    guard case .adapterDoesNotFit("mixed", let reason) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(reason.contains("3 prompts"))
  }

  /// The identity passes the bottleneck's values on; Xavier does not.
  @Test func convpassStartsWithTheIdentity() throws {
    let model = try GraftedModel.small("convpass", ["bottleneck": "5"])
    let weight = try model["blocks.2.convpass_mlp.conv.weight"].value.floats()
    let ones = weight.indices.filter { weight[$0] != 0 }
    #expect(ones == (0..<5).map { ($0 * 5 + $0) * 9 + 4 } && ones.allSatisfy { weight[$0] == 1 })
    let other = try GraftedModel.small("convpass", ["convolution": "xavier"], on: model.backbone)
    #expect(try other["blocks.2.convpass_mlp.conv.weight"].value.floats().allSatisfy { $0 != 0 })
  }

  // MARK: FacT

  /// The MLP is cut into blocks of the backbone's width: any whole ratio will do, and no other.
  @Test(arguments: ["fact-tt", "fact-tk"])
  func ratiosOfTheMLP(_ name: String) throws {
    for (hidden, fits) in [(32, true), (64, true), (192, true), (80, false)] {
      let settings = ViT(
        imageSize: 16, patchSize: 8, width: 32, depth: 2, heads: 2, hiddenWidth: hidden)
      let adapter = try Fixtures.adapter(name, ["rank": "4"])
      guard fits else {
        #expect(throws: GraftError.self) { try adapter.plan(for: settings.shape()) }
        continue
      }
      let vit = try Backbone(randomly: settings, on: Fixtures.context.get())
      let model = try GraftedModel(vit, adapter: adapter, classes: GraftedModel.names)
      try model.perturb()
      #expect(try model.computeGradients(Fixtures.noise(2, size: 16)).isFinite)
      let blocks = 4 + 2 * hidden / 32
      let free = name == "fact-tt" ? 2 * blocks * 16 : 2 * blocks * 4 + 64
      #expect(model.summary.adapterParameters == 2 * 32 * 4 + free)
    }
  }

  // MARK: ILA

  /// methods.md 7.2: the sum of nine neighbours at the start, class token untouched.
  @Test func nearOneStartsAsTheSumOfNineNeighbours() throws {
    let context = try Fixtures.context.get()
    let model = try GraftedModel.small("ila")
    let weight = model["blocks.1.ila.rsds.weight"].value
    let taps = try weight.floats()
    let mean = taps.reduce(0, +) / Float(taps.count)
    let deviation = (taps.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Float(taps.count)).squareRoot()
    #expect(abs(mean - 1) < 3e-4 && abs(deviation - 1e-3) < 2e-4)
    let ones = try Tensor([Float](repeating: 1, count: 37 * 64), shape: [1, 37, 64], on: context)
    let output = try Tape().depthwiseConvOnTokens(
      ones, grid: (6, 6), weight: weight, bias: nil, stride: 1, padding: 0, front: 1)
    #expect(output.shape == [1, 17, 64])
    let values = try output.floats()
    #expect(values[..<64].allSatisfy { $0 == 1 })
    #expect(values[64...].allSatisfy { abs($0 - 9) < 0.02 })
  }

  @Test(arguments: ILA.ResidualInitializer.allCases)
  func everyResidualTrains(_ residual: ILA.ResidualInitializer) throws {
    let model = try GraftedModel.small("ila", ["residual": residual.rawValue])
    #expect(try model.computeGradients(Fixtures.noise(4)).isFinite)
    let weights = model.arena.parameters.filter { $0.name.hasSuffix("rsds.weight") }
    #expect(weights.count == (residual == .pooling ? 0 : 2))
    #expect(model.arena.count == model.summary.trainableParameters)
    if residual == .pooling {
      // The fixed average is what the trainable one starts as.
      let fixed = try GraftedModel.small("ila", ["residual": "pooling"], on: model.backbone)
      let trainable = try GraftedModel.small("ila", ["residual": "average"], on: model.backbone)
      #expect(try (trainable.logits(Fixtures.noise(2)) == fixed.logits(Fixtures.noise(2))))
    }
  }

  /// The small ViT's 6x6 grid shrinks twice; the model itself shows it, not only the summary.
  @Test func tokensShrink() throws {
    let model = try GraftedModel.small("ila")
    #expect(model.summary.tokens == [37, 17, 5])
    #expect(try GraftedModel.small("ila", ["kernel": "1"], on: model.backbone).summary.tokens == [37])
    #expect(throws: GraftError.self) {
      try GraftedModel.small("ila", ["locations": "[0, 1, 2]"], on: model.backbone)
    }
  }

  /// Blocks below the first trainable weight leave no record.
  @Test func frozenClassTokenLeavesNoRecordBelow() throws {
    let vit = try Fixtures.smallViT()
    func records(_ name: String, _ settings: [String: String]) throws -> Int {
      let model = try GraftedModel.small(name, settings, on: vit)
      let tape = Tape(.training(seed: 0))
      _ = try model.logits(of: vit.input(Fixtures.noise(2)), on: tape)
      return tape.recordCount
    }
    let probe = try records("linear", [:])
    #expect(probe == 1, "the head alone")
    let late = try records("ila", ["trains_class_token": "false", "locations": "[5]"])
    let middle = try records("ila", ["trains_class_token": "false", "locations": "[2]"])
    let early = try records("ila", ["trains_class_token": "false", "locations": "[0]"])
    let perBlock = (early - middle) / 2
    // The last block cuts the class token out of the residual stream; not below an ILA.
    let cuts = 1
    #expect(perBlock > 0 && early - middle == 2 * perBlock && middle - late == 3 * perBlock + cuts)
    let trained = try records("ila", ["trains_class_token": "true", "locations": "[0]"])
    #expect(trained > early + perBlock, "the first block, and where the class token joins")
    #expect(try records("ila", ["trains_class_token": "true", "locations": "[5]"]) == trained - cuts)
  }

  @Test func frozenClassTokenTakesLessMemory() throws {
    let context = try Context(Fixtures.context.get().device)
    let vit = try Backbone(path: Fixtures.smallPath, options: .init(heads: 4), on: context)
    func peak(_ trains: Bool) throws -> Int {
      let model = try GraftedModel.small(
        "ila", ["trains_class_token": "\(trains)", "locations": "[4]"], on: vit)
      let start = context.memory.bytesInUse
      context.memory.resetPeak()
      _ = try model.computeGradients(Fixtures.noise(32))
      return context.memory.peakBytes - start
    }
    let (frozen, trained) = (try peak(false), try peak(true))
    #expect(Double(frozen) < 0.6 * Double(trained), "\(frozen) and \(trained) bytes")
  }
}
