// swift-format-ignore-file: NeverForceUnwrap

import Foundation
import GraftOps
import GraftSystem
import Testing

@testable import Graft

/// LoRA folders of the PEFT library: those that tools/fixtures/lora_folders.py made with it, and ours as it reads them.
@Suite(.serialized) struct PEFTFolderTests {
  static let folders = ["timm", "timm-rslora", "huggingface", "huggingface-old"]

  private func path(_ name: String) -> FilePath { Fixtures.folder / "peft" / name }

  @Test(arguments: folders)
  func givesTheSameLogits(_ name: String) throws {
    let golden = try Fixtures.open("peft/logits")
    let vit = try Fixtures.smallViT()
    #expect(try PEFTFolder.isAt(path(name)))
    let folder = try PEFTFolder(path: path(name))
    let model = try GraftedModel(folder, on: vit)
    #expect(model.classes == ["0", "1", "2"])
    let logits = try model.logits(of: vit.input(normalized: golden.tensor("images")), on: Tape())
    let expected = try golden.floats("logits.\(name)")
    #expect(try relativeError(logits.floats(), expected) < 1e-4)
    // The adapter matters: another scale gives other logits.
    var other = folder.adapter
    other.alpha *= 1.1
    let changed = try GraftedModel(vit, adapter: other, classes: model.classes)
    for parameter in changed.arena.parameters {
      try parameter.value.assign(model[parameter.name].value.floats())
    }
    let moved = try changed.logits(of: vit.input(normalized: golden.tensor("images")), on: Tape())
    #expect(try relativeError(moved.floats(), expected) > 1e-3)
  }

  @Test func sharesABackboneThatIsInMemory() async throws {
    let (vit, context) = (try Fixtures.smallViT(), try Fixtures.context.get())
    try await Fixtures.withFolder { folder in
      let path = try copy("timm", ["settings": ["backbone_heads": 4]], to: folder)
      func load(sharing backbones: [Backbone]) throws -> GraftedModel {
        try GraftedModel(path: path, backbonePath: Fixtures.smallPath, sharing: backbones, on: context)
      }
      #expect(try load(sharing: [vit]).backbone === vit)
      #expect(try load(sharing: []).backbone !== vit)
      let larger = try Fixtures.smallViT(imageSize: 64)
      #expect(try load(sharing: [larger, vit]).backbone === vit)
    }
  }

  @Test func targetsAreReadOffTheTensors() throws {
    #expect(try PEFTFolder(path: path("timm")).adapter.targets == [.qkv, .proj, .fc1, .fc2, .patchEmbedding])
    #expect(try PEFTFolder(path: path("huggingface")).adapter.targets == [.q, .v, .proj, .fc1, .fc2])
    let stabilized = try PEFTFolder(path: path("timm-rslora")).adapter
    #expect(abs(stabilized.scale - 2 / Float(3).squareRoot()) < 1e-6)
  }

  /// A copy of a folder with some entries changed and some taken out.
  private func copy(
    _ name: String, _ changes: [String: JSONValue] = [:], to folder: FilePath
  ) throws -> FilePath {
    try copy(path(name), changes, to: folder)
  }

  private func copy(
    _ source: FilePath, _ changes: [String: JSONValue] = [:], without: [String] = [], to folder: FilePath
  ) throws -> FilePath {
    let target = folder / "copy"
    try? FileManager.default.removeItem(atPath: target.string)
    try FileManager.default.copyItem(
      atPath: source.string, toPath: target.string)
    let file = URL(fileURLWithPath: (target / "adapter_config.json").string)
    var entries = try JSONDecoder().decode([String: JSONValue].self, from: Data(contentsOf: file))
    for (key, value) in changes { entries[key] = value }
    for key in without { entries[key] = nil }
    try JSONEncoder().encode(entries).write(to: file)
    return target
  }

  @Test(
    arguments: [
      ("use_dora", true), ("rank_pattern", ["qkv": 4]), ("alpha_pattern", ["qkv": 4]), ("bias", "all"),
      ("layers_to_transform", [0]), ("fan_in_fan_out", true), ("init_lora_weights", "pissa"),
      ("lora_bias", true), ("an_option_of_tomorrow", 3), ("peft_type", "IA3"), ("r", 0), ("r", "two"),
      ("lora_alpha", .null), ("classes", ["a", "b"]), ("classes", ["a", "b", "b"]),
    ] as [(String, JSONValue)])
  func whatIsNotPlainLoRAIsRefused(_ option: String, _ value: JSONValue) async throws {
    try await Fixtures.withFolder { folder in
      let path = try copy("timm", [option: value], to: folder)
      let error = #expect(throws: CheckpointError.self) { try PEFTFolder(path: path) }
      let wanted = option == "peft_type" ? "LORA" : option
      #expect("\(error!)".contains(wanted), "\(error!)")
    }
  }

  @Test func otherTensorsAreRefused() async throws {
    try await Fixtures.withFolder { folder in
      let vit = try Fixtures.smallViT()
      let file = try SafetensorsFile(path: path("timm") / "adapter_model.safetensors")
      let weights = try copy("timm", to: folder) / "adapter_model.safetensors"
      func write(_ tensors: [Safetensors.TensorData]) throws { try Safetensors.write(tensors, to: weights) }
      let all = try file.names.map { try Safetensors.TensorData(copying: $0, from: file) }

      let lost = "base_model.model.blocks.3.mlp.fc2.lora_B.weight"
      try write(all.filter { $0.name != lost })
      let error = #expect(throws: CheckpointError.self) {
        try GraftedModel(PEFTFolder(path: folder / "copy"), on: vit)
      }
      #expect("\(error!)".contains("blocks.3.mlp.fc2.lora_B"), "\(error!)")

      try write(all.filter { !$0.name.contains("head") })
      let headless = #expect(throws: CheckpointError.self) { try PEFTFolder(path: folder / "copy") }
      #expect("\(headless!)".contains("modules_to_save"))

      let foreign = "base_model.model.blocks.0.attn.gate.lora_A.weight"
      try write(all + [.init(name: foreign, shape: [1], values: [Float(0)])])
      let unexpected = #expect(throws: CheckpointError.self) { try PEFTFolder(path: folder / "copy") }
      #expect("\(unexpected!)".contains("attn.gate"))

      let wrongRank = try copy("timm", ["r": 3], to: folder)
      #expect(throws: CheckpointError.self) { try GraftedModel(PEFTFolder(path: wrongRank), on: vit) }
    }
  }

  @Test func entriesOfOursCount() async throws {
    try await Fixtures.withFolder { folder in
      let path = try copy(
        "timm",
        [
          "classes": ["x", "y", "z"], "settings": ["backbone_heads": 4, "backbone_epsilon": 1e-12],
          "transform": ["size": 48], "normalization": ["mean": [0, 0, 0], "std": [1, 1, 1]],
        ], to: folder)
      let read = try PEFTFolder(path: path)
      #expect(read.classes == ["x", "y", "z"] && read.backboneOptions.heads == 4)
      #expect(read.backboneOptions.epsilon == 1e-12 && read.backboneOptions.normalization?.std == [1, 1, 1])
      #expect(try AdapterFolder.transform(at: path) == ["size": 48])
      // With the heads said, the folder and the backbone's file are enough.
      let context = try Fixtures.context.get()
      let model = try GraftedModel(path: path, backbonePath: Fixtures.smallPath, on: context)
      #expect(model.classes == ["x", "y", "z"])
      #expect(throws: CheckpointError.self) { try GraftedModel(path: path, on: context) }
    }
  }

  /// With Graft's own entries taken out, what Graft saved reads as what PEFT saves.
  @Test(arguments: [
    "[\"qkv\"]", "[\"proj\", \"fc2\"]", "[\"qkv\", \"proj\", \"fc1\", \"fc2\", \"patch_embed\"]",
  ])
  func oursIsAFolderOfPEFT(_ targets: String) async throws {
    try await Fixtures.withFolder { folder in
      let model = try GraftedModel.small("lora", ["targets": targets, "rank": "3", "alpha": "4.5"])
      try model.perturb()
      let images = Fixtures.noise(2)
      try model.save(to: folder / "own")
      #expect(try !PEFTFolder.isAt(folder / "own"))
      #expect(
        try GraftedModel(AdapterFolder(path: folder / "own"), on: model.backbone).logits(images)
          == model.logits(images))
      let plain = try copy(
        folder / "own", without: ["adapter", "format_version", "graft_version", "backbone"], to: folder)
      #expect(try PEFTFolder.isAt(plain))
      let loaded = try GraftedModel(PEFTFolder(path: plain), on: model.backbone)
      #expect(try loaded.logits(images) == model.logits(images))
      #expect(loaded.classes == model.classes)
    }
  }

  /// A third of the fused projection is no module that PEFT could find: such a folder is Graft's alone.
  @Test func thirdsStayOurs() async throws {
    try await Fixtures.withFolder { folder in
      let model = try GraftedModel.small("lora", ["targets": "[\"q\", \"v\"]"])
      try model.save(to: folder)
      let file = try SafetensorsFile(path: folder / "adapter_model.safetensors")
      #expect(file.names.contains("blocks.0.attn.q.lora_A.weight"))
      let text = try text(folder / "adapter_config.json")
      #expect(!text.contains("target_modules"))
    }
  }
}
