// swift-format-ignore-file: NeverForceUnwrap

import Foundation
import GraftData
import GraftOps
import GraftSystem
import Testing

@testable import Graft

/// What a user or a file can get wrong: a typed error that names the thing, never a crash.
@Suite(.serialized) struct BadInputTests {
  /// Writes the small ViT again with changes.
  private func write(
    _ path: FilePath, changing change: (inout [String: (shape: [Int], values: [Float])]) -> Void
  ) throws {
    let file = try SafetensorsFile(path: Fixtures.smallPath)
    var tensors = try Dictionary(
      uniqueKeysWithValues: file.names.map {
        ($0, (shape: file.tensors[$0]!.shape, values: try file.floats($0)))
      })
    change(&tensors)
    try Safetensors.write(
      tensors.sorted { $0.key < $1.key }.map {
        .init(name: $0.key, shape: $0.value.shape, values: $0.value.values)
      }, metadata: [:], to: path)
  }

  private func load(_ path: FilePath, heads: Int? = 4, size: ImageSize? = nil) throws -> Backbone {
    try Backbone(
      path: path, options: .init(imageSize: size, heads: heads), on: Fixtures.context.get())
  }

  // MARK: Backbones

  @Test func truncatedBackbone() async throws {
    try await Fixtures.withFolder { folder in
      let bytes = try Data(contentsOf: URL(fileURLWithPath: Fixtures.smallPath.string))
      for count in [0, 7, 100, bytes.count / 2, bytes.count - 1] {
        let path = folder / "cut.safetensors"
        try bytes.prefix(count).write(to: URL(fileURLWithPath: path.string))
        let error = #expect(throws: CheckpointError.self) { try load(path) }
        #expect(error!.description.contains("cut.safetensors"), "\(count) bytes")
      }
    }
  }

  @Test func backboneWithOddTensors() async throws {
    try await Fixtures.withFolder { folder in
      let path = folder / "odd.safetensors"
      let changes: [(String, (inout [String: (shape: [Int], values: [Float])]) -> Void)] = [
        ("blocks.2.norm1.weight", { $0["blocks.2.norm1.weight"] = nil }),
        (
          "blocks.0.attn.qkv.weight",
          { $0["blocks.0.attn.qkv.weight"] = ([64, 192], $0["blocks.0.attn.qkv.weight"]!.values) }
        ),
        ("norm.extra", { $0["norm.extra"] = ([1], [0]) }),
        ("cls_token", { $0["cls_token"] = nil }),
        (
          "blocks.0.attn.qkv.weight",
          { tensors in
            for name in tensors.keys where name.hasPrefix("blocks.") { tensors[name] = nil }
          }
        ),
        (
          "blocks.0.mlp.fc1.weight",
          { tensors in
            for block in 0..<6 {
              tensors["blocks.\(block).mlp.fc1.weight"] = ([0, 64], [])
              tensors["blocks.\(block).mlp.fc1.bias"] = ([0], [])
              tensors["blocks.\(block).mlp.fc2.weight"] = ([64, 0], [])
            }
          }
        ),
        ("pos_embed", { $0["pos_embed"] = ([1, 6, 64], Array($0["pos_embed"]!.values.prefix(384))) }),
      ]
      for (name, change) in changes {
        try write(path, changing: change)
        let error = #expect(throws: CheckpointError.self, "\(name)") { try load(path) }
        switch error {
        case .tensorMismatch, .unknownNames: break
        default: Issue.record("\(name): \(String(describing: error))")
        }
        #expect(error!.description.contains(name), "\(error!)")
      }
    }
  }

  /// A tensor without elements takes no bytes, whatever its other sides are.
  @Test(arguments: ["blocks.0.mlp.fc2.weight", "reg_token", "pos_embed", "blocks.0.attn.qkv.weight"])
  func sidesThatWouldOverflow(_ name: String) async throws {
    try await Fixtures.withFolder { folder in
      let path = folder / "odd.safetensors"
      try write(path) { $0[name] = (name.contains("blocks") ? [0, .max] : [0, .max, 0], []) }
      #expect(throws: CheckpointError.self) { try load(path) }
    }
  }

  @Test func backboneWithNaN() async throws {
    try await Fixtures.withFolder { folder in
      let path = folder / "nan.safetensors"
      try write(path) { $0["blocks.4.mlp.fc2.bias"]!.values[3] = .nan }
      #expect(throws: CheckpointError.nonFinite(path: path, tensor: "blocks.4.mlp.fc2.bias", index: 3)) {
        try load(path)
      }
    }
  }

  @Test func weightsOfAnotherModel() {
    for path in [
      "adapters/ila.safetensors", "optimizers.json", "images/rgb.png", "images", "nothing.safetensors",
    ] {
      #expect(throws: CheckpointError.self, "\(path)") { try load(Fixtures.folder / path) }
    }
  }

  @Test func imageSizes() {
    let advice: [(ImageSize, String)] = [
      (50, "48 or 56"), (5, "--image-size 8."), (0, "--image-size 8."), (-8, "--image-size 8."),
      (.init(height: 50, width: 32), "48x32 or 56x32."), (.init(height: 33, width: 47), "32x40 or 40x48."),
      (.init(height: 48, width: 50), "48 or 48x56."), (.init(height: 5, width: 50), "--image-size 8x56."),
      (.init(height: 16, width: 0), "--image-size 16x8."),
    ]
    for (size, advice) in advice {
      let error = #expect(throws: GraftError.imageSizeNotDivisible(imageSize: size, patchSize: 8)) {
        try load(Fixtures.smallPath, size: size)
      }
      #expect(error!.description.contains(advice), "\(error!)")
    }
    for side in [1 << 20, Int.max - 7] {
      for size in [ImageSize(side), .init(height: 48, width: side), .init(height: side, width: 48)] {
        #expect(throws: GraftError.self) { try load(Fixtures.smallPath, size: size) }
      }
    }
    for name in ["vit_base_patch16_-224", "vit_base_patch16_0", "vit_base_patch16_9223372036854775792"] {
      #expect(throws: GraftError.self, "\(name)") { try BackboneShape(named: name) }
    }
    for name in ["vit_base", "resnet50", "", "vit_base_patch7_224", "vit__patch16_224"] {
      let error = #expect(throws: GraftError.self) { try BackboneShape(named: name) }
      guard case .unknownArchitecture = error else {
        Issue.record("\(name): \(String(describing: error))")
        continue
      }
    }
  }

  @Test func heads() throws {
    for heads in [0, -1, 3, 65, Int.max] {
      #expect(throws: GraftError.self, "\(heads)") { try load(Fixtures.smallPath, heads: heads) }
    }
  }

  @Test func imagesOfAnotherSize() throws {
    let model = try GraftedModel.small("linear")
    for size in [40, ImageSize(height: 48, width: 40), .init(height: 32, width: 72)] {
      #expect(throws: GraftError.self) { try model.logits(Fixtures.noise(1, size: size)) }
    }
  }

  // MARK: Adapters

  @Test func adapterForAnotherBackbone() async throws {
    try await Fixtures.withFolder { folder in
      try GraftedModel.small("alore").save(to: folder / "run")
      let other = folder / "other.safetensors"
      try write(other) { $0["norm.bias"]!.values[0] += 1 }
      let context = try Fixtures.context.get()
      let error = #expect(throws: CheckpointError.self) {
        try GraftedModel(path: folder / "run", backbonePath: other, on: context)
      }
      guard case .wrongBackbone = error else {
        Issue.record("\(String(describing: error))")
        return
      }
      // Where it has only moved, it is the same backbone.
      try FileManager.default.copyItem(
        atPath: Fixtures.smallPath.string, toPath: (folder / "moved.safetensors").string)
      _ = try GraftedModel(path: folder / "run", backbonePath: folder / "moved.safetensors", on: context)
    }
  }

  @Test func adapterForAnotherWidth() async throws {
    try await Fixtures.withFolder { folder in
      try GraftedModel.small("ila").save(to: folder / "run")
      let shape = ViT(imageSize: 48, patchSize: 8, width: 32, depth: 6, heads: 4)
      let weights = RandomWeights(seed: 1)
      try Safetensors.write(
        shape.shape().tensors.map {
          .init(name: $0.name, shape: $0.shape, values: weights.floats($0))
        }, metadata: [:], to: folder / "narrow.safetensors")
      #expect(throws: CheckpointError.wrongWidth(path: folder / "run", expected: 64, actual: 32)) {
        try GraftedModel(
          path: folder / "run", backbonePath: folder / "narrow.safetensors", on: Fixtures.context.get())
      }
    }
  }

  @Test func damagedAdapters() async throws {
    try await Fixtures.withFolder { folder in
      let model = try GraftedModel.small("alore")
      let context = try Fixtures.context.get()
      let weights = folder / "adapter_model.safetensors"
      func refuse(_ change: () throws -> Void, sourceLocation: SourceLocation = #_sourceLocation) throws {
        try model.save(to: folder)
        try change()
        let error = #expect(throws: (any Error).self, sourceLocation: sourceLocation) {
          try GraftedModel(path: folder, on: context)
        }
        let known = error is CheckpointError || error is GraftError
        #expect(known, "\(String(describing: error))", sourceLocation: sourceLocation)
      }
      func rewrite(_ change: (inout [Safetensors.TensorData]) throws -> Void) throws {
        var tensors = try model.state()
        try change(&tensors)
        try Safetensors.write(tensors, metadata: [:], to: weights)
      }
      func edit(_ old: String, _ new: String) throws {
        let path = folder / "adapter_config.json"
        let text = try text(path)
        try #require(text.contains(old), "\(old) in \(text)")
        try AtomicFile.write(text.replacingOccurrences(of: old, with: new), to: path)
      }
      try refuse { try rewrite { $0.removeLast() } }
      try refuse { try rewrite { $0.append(.init(name: "more", shape: [1], values: [Float(1)])) } }
      try refuse {
        try rewrite { $0[0] = .init(name: $0[0].name, shape: [64], values: [Float](repeating: 1, count: 64)) }
      }
      try refuse {
        try rewrite {
          $0[1] = .init(
            name: $0[1].name, shape: $0[1].shape, values: [Float](repeating: .infinity, count: 256))
        }
      }
      try refuse { try edit("\"rank\" : 4", "\"rank\" : 999999999999") }
      try refuse { try edit("\"experts\" : 4", "\"experts\" : -4") }
      try refuse { try edit("\"adapter\" : \"alore\"", "\"adapter\" : \"resnet\"") }
      try refuse { try edit("\"image_size\" : 48", "\"image_size\" : 50") }
      try refuse { try edit("\"backbone_heads\" : 4", "\"backbone_heads\" : 0") }
      try refuse { try edit("\"rank\" : 4", "\"rank\" : \"four\"") }
      try refuse { try edit("\"format_version\" : 1", "\"format_version\" : 3") }
      try refuse { try FileManager.default.removeItem(atPath: weights.string) }
      try refuse { try AtomicFile.write("{", to: folder / "adapter_config.json") }
    }
  }

  @Test func unknownAdapters() {
    for (name, nearest) in [
      ("aloore", "alore"), ("ILA++ ", "ila++"), ("ill", "ila"), ("lroa", "lora"), ("resnet", nil),
    ] {
      let error = #expect(throws: GraftError.self) { try AdapterCatalog.named(name) }
      guard case .unknownAdapter(name, let suggestion, AdapterCatalog.names) = error else {
        Issue.record("\(name): \(String(describing: error))")
        continue
      }
      if let nearest { #expect(suggestion == nearest) }
    }
    #expect(throws: Never.self) { try AdapterCatalog.named("ALoRE") }
  }

  @Test func badSettings() throws {
    let shape = try BackboneShape(named: "vit_base_patch16_224")
    let bad: [(String, String, String)] = [
      ("lora", "rank", "0"), ("lora", "rank", "769"), ("lora", "alpha", "1e99"), ("lora", "dropout", "1"),
      ("lora", "targets", "[]"), ("lora", "targets", "[\"q\", \"q\"]"),
      ("lora", "targets", "[\"q\", \"qkv\"]"),
      ("lora", "targets", "[\"head\"]"), ("lora", "targets", "qkv"), ("fact-tt", "rank", "0"),
      ("fact-tk", "rank", "769"), ("fact-tk", "scale", "1e99"), ("fact-tt", "dropout", "-1"),
      ("ssf", "rank", "4"),
      ("bitfit", "rank", "4"), ("linear", "rank", "4"), ("alore", "bottleneck", "4"), ("alore", "rank", "0"),
      ("alore", "rank", "-4"),
      ("alore", "rank", "four"), ("alore", "rank", "4.5"), ("alore", "rank", ""),
      ("alore", "rank", "9223372036854775807"), ("alore", "rank", "99999999999999999999"),
      ("alore", "experts", "5"), ("alore", "experts", "768"), ("alore", "dropout", "1"),
      ("alore", "dropout", "-0.1"), ("alore", "dropout", "nan"), ("alore", "scale", "1e99"),
      ("alore", "has_bias", "maybe"), ("houlsby", "bottleneck", "0"), ("adapter", "bottleneck", "769"),
      ("adapter", "dropout", "1"), ("adaptformer", "scale", "inf"), ("adaptformer", "dropout", "[0.1, 2]"),
      ("repadapter", "groups", "3"), ("repadapter", "groups", "0"), ("repadapter", "bottleneck", "0"),
      ("convpass", "convolution", "zero"), ("convpass", "bottleneck", "-8"), ("vpt-deep", "prompts", "0"),
      ("vpt-shallow", "prompts", "1001"), ("vpt-shallow", "dropout", "nan"), ("ila", "kernel", "2"),
      ("ila", "kernel", "-3"),
      ("ila", "kernel", "9223372036854775807"), ("ila", "bottleneck", "0"),
      ("ila", "bottleneck", "9223372036854775807"), ("ila", "residual", "sum"), ("ila", "locations", "[12]"),
      ("ila", "locations", "[-1]"), ("ila", "locations", "[3, 3]"), ("ila", "locations", "3"),
      ("ila", "locations", "[0, 1, 2, 3, 4, 5, 6]"), ("ila", "variant", "\"ila++\""),
    ]
    for (adapter, name, value) in bad {
      let error = #expect(throws: GraftError.self, "\(adapter) \(name)=\(value)") {
        let changed = try AdapterCatalog.setting(name, to: value, of: AdapterCatalog.named(adapter))
        _ = try changed.plan(for: shape)
      }
      switch error {
      case .badSetting(name, _, _), .adapterDoesNotFit: break
      default: Issue.record("\(adapter) \(name)=\(value): \(String(describing: error))")
      }
    }
  }

  @Test func tooFewClasses() throws {
    let vit = try Fixtures.smallViT()
    for classes in [[], ["one"]] {
      #expect(throws: GraftError.self) { try GraftedModel(vit, adapter: LinearProbe(), classes: classes) }
    }
  }

  // MARK: The examples

  @Test func readmeShowsTheServer() throws {
    let readme = try text(Fixtures.checkout / "README.md")
    let file = Fixtures.checkout / "Sources/Example/Classifier.swift"
    let code = try text(file)
    #expect(readme.contains("<!-- server -->\n```swift\n" + code + "```"))
  }

  @Test func readmeShowsTheExample() throws {
    let readme = try text(Fixtures.checkout / "README.md")
    let example = try String(
      contentsOfFile: (Fixtures.checkout / "Sources/Example/main.swift").string, encoding: .utf8)
    let parts = readme.components(separatedBy: "<!-- example -->\n```swift\n")
    try #require(parts.count == 2, "README.md has one example, after the line <!-- example -->")
    let block = try #require(parts[1].range(of: "\n```")).lowerBound
    #expect(parts[1][..<block] + "\n" == example)
    #expect(example.split(separator: "\n").count <= 20, "about fifteen lines")
  }
}
