// swift-format-ignore-file: NeverForceUnwrap

import Foundation
import GraftOps
import GraftSystem
import Testing

@testable import Graft

/// LoRA folders of the PEFT library on every backbone of transformers', in its published and its newer names.
///
/// tools/check_peft.py does the same with the library itself.
@Suite(.serialized) struct PEFTDialectTests {
  static let fixtures = DialectFixtures.names.filter { $0.hasPrefix("hf_") }

  private func backbone(_ path: FilePath) throws -> Backbone {
    try Backbone(path: path, options: .init(imageSize: 16, heads: 2), on: Fixtures.context.get())
  }

  private func adapted(_ fixture: String) throws -> GraftedModel {
    let backbone = try backbone(DialectFixtures.file(fixture).path)
    // A gate and what it opens may be two modules, which one product does not stand on.
    let isApart = backbone.weights!.assemblies["blocks.0.mlp.fc1.weight"]!.parts > 1
    let targets: [LoRA.Target] = [.q, .k, .v, .proj] + (isApart ? [] : [.fc1]) + [.fc2, .patchEmbedding]
    let model = try GraftedModel(
      backbone, adapter: LoRA(rank: 2, alpha: 3, targets: targets), classes: ["0", "1", "2"])
    try model.perturb(by: 0.3)
    return model
  }

  private let images = Fixtures.noise(2, size: 16)

  private func logits(_ model: GraftedModel) throws -> [Float] { try model.logits(images).flatMap { $0 } }

  /// What PEFT saves is by the names of the file's own layers: its logits are those of weights with the products added.
  @Test(arguments: fixtures) func foldersOfPEFTAreRead(_ fixture: String) async throws {
    let model = try adapted(fixture)
    let weights = model.backbone.weights!
    let values = try Dictionary(
      uniqueKeysWithValues: model.arena.parameters.map { ($0.name, try $0.value.floats()) })
    var tensors: [Safetensors.TensorData] = []
    var changed: [String: [Float]] = [:]
    for (own, factor) in values where own.hasSuffix("lora_A.weight") {
      // Of a third such as blocks.0.attn.q the canonical tensor is attn.qkv.
      let module = own.replacingOccurrences(of: ".lora_A.weight", with: "")
      let third = ["q", "k", "v"].firstIndex { module.hasSuffix("attn.\($0)") }
      let canonical = third == nil ? module : String(module.dropLast()) + "qkv"
      let piece = weights.assemblies["\(canonical).weight"]!.pieces[third ?? 0]!
      let source = String(piece.source.dropLast(".weight".count))
      let (shape, up) = (weights.file.tensors[piece.source]!.shape, values["\(module).lora_B.weight"]!)
      let (rows, columns) = (shape[0], shape.dropFirst().reduce(1, *))
      let tail = shape.count == 4 ? [1, 1] : []
      tensors.append(
        .init(
          name: "base_model.model.\(source).lora_A.weight", shape: [2] + shape.dropFirst(), values: factor))
      tensors.append(
        .init(name: "base_model.model.\(source).lora_B.weight", shape: [rows, 2] + tail, values: up))
      var whole = try changed["\(canonical).weight"] ?? weights.floats("\(canonical).weight")
      let start = (third ?? 0) * rows * columns
      for row in 0..<rows {
        for column in 0..<columns {
          let product = up[2 * row] * factor[column] + up[2 * row + 1] * factor[columns + column]
          whole[start + row * columns + column] += 1.5 * product
        }
      }
      changed["\(canonical).weight"] = whole
    }
    for part in ["weight", "bias"] {
      let shape = part == "weight" ? [3, 16] : [3]
      tensors.append(
        .init(
          name: "base_model.model.classifier.\(part)", shape: shape, values: values["head.\(part)"]!))
    }
    try await Fixtures.withFolder { folder in
      try Safetensors.write(weights.inverse(changed), to: folder / "changed.safetensors")
      // What stands in no tensor.
      for name in ["config.json", "preprocessor_config.json"] {
        try AtomicFile.write(bytes(weights.file.path.folder / name), to: folder / name)
      }
      let plain = try GraftedModel(
        backbone(folder / "changed.safetensors"), adapter: LinearProbe(), classes: model.classes)
      for name in ["head.weight", "head.bias"] { try plain[name].value.assign(values[name]!) }
      try Safetensors.write(tensors, to: folder / AdapterFolder.weightsName)
      let entries: JSONValue = ["peft_type": "LORA", "r": 2, "lora_alpha": 3, "bias": "none"]
      try AtomicFile.write(Array(entries.text.utf8), to: folder / AdapterFolder.manifestName)
      let read = try GraftedModel(PEFTFolder(path: folder), on: model.backbone)
      #expect(try relativeError(logits(read), logits(plain)) < 1e-5)
      #expect(try logits(read) == logits(model))
    }
  }

  /// What Graft saves has the names of the file's own layers, and without Graft's own entries it is a folder of PEFT's.
  @Test(arguments: fixtures) func foldersAreThoseOfPEFT(_ fixture: String) async throws {
    let model = try adapted(fixture)
    let expected = try logits(model)
    try await Fixtures.withFolder { folder in
      try model.save(to: folder)
      let own = try AdapterFolder(path: folder)
      #expect(own.manifest.formatVersion == 2)
      #expect(try logits(GraftedModel(own, on: model.backbone)) == expected)
      var entries = try JSONDecoder().decode(
        [String: JSONValue].self, from: Data(bytes(folder / AdapterFolder.manifestName)))
      let modules = entries["target_modules"]?.arrayValue?.compactMap(\.stringValue) ?? []
      // Each has two factors, and is a layer of the file, which may lack the name of transformers' class before it.
      let layers = Set(
        own.weights.names.filter { $0.contains(".lora_") }.map {
          $0.dropFirst("base_model.model.".count).dropLast(".lora_A.weight".count)
        })
      #expect(layers == Set(modules.map { $0[...] }))
      let names = model.backbone.weights!.file.names
      #expect(modules.allSatisfy { module in names.contains { "\(module).weight".hasSuffix($0) } })
      #expect(entries["modules_to_save"] == ["classifier"])
      #expect(own.weights.tensors["base_model.model.classifier.weight"]?.shape == [3, 16])
      for name in ["adapter", "format_version", "graft_version", "backbone"] { entries[name] = nil }
      try AtomicFile.write(
        Array(JSONValue.object(entries).text.utf8), to: folder / AdapterFolder.manifestName)
      #expect(try logits(GraftedModel(PEFTFolder(path: folder), on: model.backbone)) == expected)
    }
  }

  /// ViT, DeiT and BEiT are wrapped with a classifier, as transformers' class for that names them.
  @Test(arguments: [
    ("hf_vit", "vit.encoder.layer.1.attention.attention.key"), ("hf_vit_v5", "vit.layers.1.attention.k_proj"),
    ("hf_deit_distilled", "deit.encoder.layer.1.attention.attention.key"),
    ("hf_beit", "beit.encoder.layer.1.attention.attention.key"),
    ("hf_dinov2", "encoder.layer.1.attention.attention.key"),
    ("hf_clip_vision", "vision_model.encoder.layers.1.self_attn.k_proj"),
    ("hf_dinov3", "layer.1.attention.k_proj"),
  ])
  func modules(_ fixture: String, _ module: String) throws {
    let backbone = try adapted(fixture).backbone
    let names = try #require(LoRA(targets: [.k]).peftNames(on: backbone))
    #expect(names["blocks.1.attn.k.lora_A.weight"] == "base_model.model.\(module).lora_A.weight")
    #expect(names.entries["target_modules"]?.arrayValue?.last == .string(module))
  }

  /// The fused projection is a layer of timm's model alone: such a folder is for that one.
  @Test func fusedOnesAreTimms() throws {
    let backbone = try adapted("hf_vit").backbone
    let names = try #require(LoRA().peftNames(on: backbone))
    #expect(names.entries["target_modules"] == ["attn.qkv"] && names.entries["modules_to_save"] == ["head"])
    #expect(names["head.bias"] == "base_model.model.head.bias")
    #expect(LoRA(targets: [.q, .qkv]).peftNames(on: backbone) == nil)
  }
}
