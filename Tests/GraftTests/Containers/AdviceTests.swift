import Foundation
import GraftSystem
import Testing

@testable import Graft

/// A file that is refused, and what is said of it.
struct Refused: Sendable, CustomTestStringConvertible {
  let file: String
  /// What it is.
  let what: String
  /// What to do.
  let advice: String

  init(_ file: String, _ what: String, _ advice: String) {
    (self.file, self.what, self.advice) = (file, what, advice)
  }

  var testDescription: String { file }
}

/// Every refusal names the file, says what it is, and what to do, in one place: what `graft info --backbone` prints.
@Suite struct AdviceTests {
  static let folder = Fixtures.folder / "refused"

  /// Files that the libraries themselves wrote (tools/fixtures/refused.py).
  static let files = [
    Refused(
      "torchscript.pt", "it is a TorchScript archive: a program with its weights", "torch.jit.load(FILE)"),
    Refused(
      "model.pth", "an object, torch.nn.modules.linear.Linear, with code of its own",
      "state_dict with torch.save"),
    Refused(
      "trainer.pth", "its model is an object, torch.nn.modules.linear.Linear", "state_dict with torch.save"),
    Refused(
      "call.pth", "its state_dict is an object, __builtin__.print", "Load it in Python, where you trust it"),
    Refused("protocol4.pth", "its pickle is of protocol 4", "pickle_protocol left out"),
    Refused("compressed.pth", "is compressed, which PyTorch does not do", "save it again with torch.save"),
    Refused("compressed_data.pth", "its member plain/data/", "save it again with torch.save"),
    Refused("lying.pth", "its storage 0 has 188 bytes, and 48 elements of F32", "Download or copy it again"),
    Refused(
      "expanded.pth", "blocks.0.attn.qkv.bias holds a view whose elements stand for several", "contiguous()"),
    Refused("overlapping.pth", "elements stand for several, by strides of [1, 1]", "contiguous()"),
    Refused("quantised.pth", "blocks.0.attn.qkv.bias holds quantised numbers", "before they were quantised"),
    Refused(
      "quantised_modules.pth", "zero_point tells: these weights are quantised",
      "Take the file of the weights before"),
    Refused("sparse.pth", "blocks.0.attn.qkv.bias holds a sparse tensor", "to_dense()"),
    Refused(
      "int8.safetensors", "tensor blocks.0.attn.qkv.weight holds I8",
      "seems to be quantised: take the file of"),
    Refused("fp8.safetensors", "holds F8_E4M3", "seems to be quantised: take the file of"),
    Refused("fortran.npz", "array embedding/kernel lies in Fortran's order", "numpy.ascontiguousarray"),
    Refused(
      "bfloat16.npz", "embedding/kernel holds numbers that NumPy does not know, perhaps bfloat16",
      "ml_dtypes.bfloat16"),
  ]

  @Test(arguments: files) func filesOfLibraries(_ refused: Refused) throws {
    let path = Self.folder / refused.file
    let error = checkpointError { _ = try BackboneCatalog.read(path, options: .init(heads: 2)) }
    try Self.check(error, path, refused)
  }

  @Test func filesAreThere() throws {
    let names = try Folder.names(in: Self.folder).compactMap(\.text)
    #expect(Set(names) == Set(Self.files.map(\.file)))
  }

  private static let vit = [
    "cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias", "norm.weight", "norm.bias",
    "blocks.0.norm1.weight", "blocks.0.norm1.bias", "blocks.0.attn.qkv.weight", "blocks.0.attn.qkv.bias",
  ]
  private static let google = [
    "cls", "embedding/kernel", "embedding/bias", "Transformer/encoderblock_0/LayerNorm_0/scale",
    "Transformer/encoderblock_0/LayerNorm_0/bias", "Transformer/encoderblock_0/LayerNorm_2/scale",
    "Transformer/encoder_norm/scale", "Transformer/encoder_norm/bias",
    "Transformer/posembed_input/pos_embedding",
  ]
  private static let huggingFace = [
    "embeddings.cls_token", "embeddings.position_embeddings", "embeddings.patch_embeddings.projection.weight",
    "encoder.layer.0.layernorm_before.weight", "encoder.layer.0.layernorm_before.bias",
    "encoder.layer.0.attention.attention.query.weight", "encoder.layer.0.attention.attention.key.weight",
    "encoder.layer.0.attention.attention.value.weight", "layernorm.weight", "layernorm.bias",
  ]

  /// Models that are told by the names of their tensors.
  @Test(
    arguments: [
      (
        vit + ["patch_embed.backbone.stem.conv.weight"], "a convolutional network makes this model's patches",
        "graft info --backbones"
      ),
      (
        google + ["conv_root/kernel", "gn_root/scale"], "a convolutional network makes",
        "graft info --backbones"
      ),
      (
        huggingFace + ["embeddings.patch_embeddings.backbone.bit.embedder.convolution.weight"],
        "a convolutional network makes", "graft info --backbones"
      ),
      (
        ["cls_token", "embeds.proj.weight", "embeds.pos_embed", "blocks.0.attn.qkv.weight"],
        "embeds patches of any shape by a matrix (NaFlex)", "graft info --backbones"
      ),
      (
        ["mask_token", "decoder_pos_embed", "decoder_embed.weight", "decoder_blocks.0.norm1.weight"],
        "this is a masked autoencoder's decoder, without the encoder",
        "Take the file of the encoder, or of both"
      ),
      (
        ["decoder.mask_token", "decoder.decoder_embed.weight"],
        "this is a masked autoencoder's decoder, without the encoder",
        "Take the file of the encoder, or of both"
      ),
      (
        vit + ["blocks.0.attn.qkv.weight_scale"], "these weights are quantised",
        "Take the file of the weights before"
      ),
    ])
  func modelsByTheirNames(_ names: [String], _ what: String, _ advice: String) throws {
    let folder = try TemporaryFolder()
    let path = folder.file("model.safetensors")
    try Safetensors.write(
      names.map {
        (name: $0, shape: $0 == "embedding/kernel" ? [1, 1, 1, 1] : [1], values: [0])
      }, to: path)
    let error = checkpointError { _ = try BackboneCatalog.read(path) }
    try Self.check(error, path, Refused("model.safetensors", what, advice))
  }

  private static func check(_ error: CheckpointError?, _ path: FilePath, _ refused: Refused) throws {
    let text = try #require(error, "it was read").description
    #expect(text.hasPrefix("\(path): "), "\(text)")
    for words in [refused.what, refused.advice] { #expect(text.contains(words), "\(text)") }
  }
}
