import Foundation
import GraftSystem
import Testing

@testable import Graft

/// Headers that lie, which are refused in words; none ends the process.
@Suite struct HostileDialectTests {
  /// A file of tensors that are empty but for those named, with a header of any shapes.
  private func file(_ shapes: [String: [Int]], in folder: TemporaryFolder) throws -> SafetensorsFile {
    var (entries, data): ([String], Int) = ([], 0)
    for (name, shape) in shapes.sorted(by: { $0.key < $1.key }) {
      let size = try #require(Safetensors.elementCount(shape)) * 4
      entries.append(
        "\"\(name)\":{\"dtype\":\"F32\",\"shape\":\(shape),\"data_offsets\":[\(data),\(data + size)]}")
      data += size
    }
    let bytes = safetensorsBytes("{\(entries.joined(separator: ","))}", data: data)
    return try SafetensorsFile(path: folder.file("hostile.safetensors", bytes))
  }

  private static let timm: [String: [Int]] = [
    "cls_token": [1, 1, 4], "pos_embed": [1, 5, 4], "patch_embed.proj.weight": [4, 3, 2, 2],
    "patch_embed.proj.bias": [4], "norm.weight": [4], "norm.bias": [4], "blocks.0.norm1.weight": [4],
    "blocks.0.norm1.bias": [4], "blocks.0.attn.qkv.weight": [12, 4], "blocks.0.attn.qkv.bias": [12],
  ]

  private static let separate: [String: [Int]] = [
    "cls_token": [1, 1, 4], "pos_embed": [1, 5, 4], "patch_embed.proj.weight": [4, 3, 2, 2],
    "patch_embed.proj.bias": [4], "norm.weight": [4], "norm.bias": [4], "blocks.0.norm1.weight": [4],
    "blocks.0.norm1.bias": [4], "blocks.0.attn.q_proj.weight": [4, 4], "blocks.0.attn.k_proj.weight": [4, 4],
    "blocks.0.attn.v_proj.weight": [4, 4], "blocks.0.attn.q_proj.bias": [4], "blocks.0.attn.v_proj.bias": [4],
    "blocks.0.mlp.fc1_g.weight": [6, 4], "blocks.0.mlp.fc1_x.weight": [6, 4],
  ]

  private static let registers: [String: [Int]] = timm.merging(
    ["register_tokens": [1, 4, 4], "blocks.0.ls1.gamma": [4]]) { $1 }

  private static let masked: [String: [Int]] = timm.filter { $0.key != "pos_embed" }.merging(
    ["storage_tokens": [1, 4, 4], "blocks.0.attn.qkv.bias_mask": [12]]) { $1 }

  private static let stacked: [String: [Int]] = [
    "embedding/kernel": [2, 2, 3, 4], "Transformer/encoderblock/LayerNorm_1/scale": [2, 4],
    "Transformer/encoderblock/LayerNorm_0/bias": [2, 4], "Transformer/encoder_norm/scale": [4],
    "pos_embedding": [1, 4, 4],
  ]

  private func refusal(
    _ base: [String: [Int]], _ changes: [String: [Int]?], read: String? = nil
  ) throws -> CheckpointError? {
    let folder = try TemporaryFolder()
    var shapes = base
    for (name, shape) in changes { shapes[name] = shape }
    let file = try file(shapes, in: folder)
    return checkpointError {
      let weights = try CanonicalWeights(file)
      if let read { _ = try weights.floats(read) }
    }
  }

  @Test func soundOnesAreRead() throws {
    for base in [Self.timm, Self.separate, Self.registers, Self.masked, Self.stacked] {
      #expect(try refusal(base, [:]) == nil)
    }
  }

  @Test(
    arguments: [
      (separate, ["blocks.0.attn.k_proj.weight": [5, 4]], "q_proj.weight is [4, 4], expected [5, 4]"),
      (separate, ["blocks.0.attn.v_proj.weight": [4, 5]], "v_proj.weight"),
      (separate, ["blocks.0.mlp.fc1_x.weight": [7, 4]], "fc1_x.weight"),
      (separate, ["blocks.0.attn.v_proj.weight": nil], "missing: blocks.0.attn.v_proj.weight"),
      (
        separate, ["blocks.0.attn.v_proj.bias": nil],
        "missing: blocks.0.attn.k_proj.bias, blocks.0.attn.v_bias"
      ),
      (separate, ["blocks.0.mlp.fc1_g.weight": nil], "missing: blocks.0.mlp.fc1_g.weight"),
      (separate, ["blocks.0.attn.q_proj.bias": [] as [Int]], "q_proj.bias"),
      (separate, ["blocks.0.attn.q_bias": [4]], "a second time"),
      (separate, ["blocks.0.attn.qkv.weight": [12, 4]], "a second time"),
      (
        separate,
        [
          "blocks.0.mlp.fc1_g.weight": [Int.max / 2 + 1, 0],
          "blocks.0.mlp.fc1_x.weight": [Int.max / 2 + 1, 0],
        ],
        "is no shape for it"
      ),
      (registers, ["pos_embed": [1, 0, 4]], "pos_embed"), (registers, ["pos_embed": [5, 4]], "pos_embed"),
      (registers, ["pos_embed": [] as [Int]], "pos_embed"),
      (registers, ["pos_embed": nil], "missing: pos_embed"),
      (registers, ["cls_token": [1, 1, 5]], "pos_embed"),
      (registers, ["cls_token": [] as [Int]], "pos_embed"),
      (masked, ["blocks.0.attn.qkv.bias_mask": [11]], "bias_mask"),
      (masked, ["blocks.0.attn.qkv.bias_mask": nil], "missing: blocks.0.attn.qkv.bias_mask"),
      (stacked, ["Transformer/encoderblock/LayerNorm_0/bias": [] as [Int]], "LayerNorm_0/bias"),
      (stacked, ["Transformer/encoderblock/LayerNorm_0/bias": [1 << 40, 0]], "LayerNorm_0/bias"),
      (stacked, ["embedding/kernel": [4, 4]], "embedding/kernel"),
      (stacked, ["embedding/kernel": [] as [Int]], "embedding/kernel"),
      (
        stacked, ["Transformer/encoderblock/MultiHeadDotProductAttention_0/query/kernel": [2, 4]],
        "query/kernel"
      ),
      (timm, ["patch_embed.proj.weight": [4, 12]], "NaFlex"),
      (timm, ["patch_embed.proj.weight": nil], "timm"), (timm, ["blocks.0.attn.qkv.weight": nil], "timm"),
      (
        timm, ["storage_tokens": [1, 4, 4], "rel_pos_bias.relative_position_bias_table": [4, 1]],
        "more than one library"
      ),
    ] as [([String: [Int]], [String: [Int]?], String)])
  func shapesThatLie(_ base: [String: [Int]], _ changes: [String: [Int]?], _ words: String) throws {
    let error = try refusal(base, changes)
    #expect(error?.description.contains(words) == true, "\(String(describing: error))")
  }

  /// Empty tensors of a length that no memory holds are no work.
  @Test func emptyTensorsOfHugeLengths() throws {
    let huge = ["embedding/kernel": [1 << 40, 0, 1 << 20, 1] as [Int]?]
    #expect(try refusal(Self.stacked, huge, read: "patch_embed.proj.weight") == nil)
  }

  @Test func masksOfOtherValues() throws {
    let folder = try TemporaryFolder()
    for value in [0.5, .nan, -1] as [Float] {
      let tensors = Self.masked.map { name, shape in
        let count = shape.reduce(1, *)
        return (name, shape, [Float](repeating: name.hasSuffix("bias_mask") ? value : 1, count: count))
      }
      try Safetensors.write(tensors, to: folder.file("mask.safetensors"))
      let weights = try CanonicalWeights(SafetensorsFile(path: folder.file("mask.safetensors")))
      let error = checkpointError { _ = try weights.floats("blocks.0.attn.qkv.bias") }
      #expect(error?.description.contains("other values than 0 and 1") == true)
      #expect(try weights.floats("blocks.0.attn.qkv.weight").count == 48)
    }
  }

  @Test func valuesThatAreNotFinite() throws {
    let folder = try TemporaryFolder()
    let tensors = Self.registers.map { name, shape in
      (
        name, shape,
        [Float](
          repeating: name == "norm.weight" ? .nan : name == "cls_token" ? .greatestFiniteMagnitude : 3e38,
          count: shape.reduce(1, *))
      )
    }
    try Safetensors.write(tensors, to: folder.file("nan.safetensors"))
    let weights = try CanonicalWeights(SafetensorsFile(path: folder.file("nan.safetensors")))
    for name in ["norm.weight", "cls_token"] {
      guard case .nonFinite(_, name, 0) = checkpointError({ _ = try weights.floats(name) }) else {
        Issue.record("\(name)")
        continue
      }
    }
  }
}
