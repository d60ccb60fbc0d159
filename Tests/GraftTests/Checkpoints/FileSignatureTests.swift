import Foundation
import GraftSystem
import Testing

@testable import Graft

@Suite("What a file is by its first bytes")
struct FileSignatureTests {
  private static func zip(_ name: String) -> [UInt8] {
    [0x50, 0x4b, 3, 4] + [UInt8](repeating: 0, count: 22) + [UInt8(name.utf8.count), 0, 0, 0]
      + Array(name.utf8)
  }

  private static let tar = [UInt8](repeating: 0, count: 257) + Array("ustar\u{0}00".utf8)

  @Test(arguments: [
    ("", "it is empty", "Download"),
    ("\n<!DOCTYPE html>\n<html>", "a web page", "Download"),
    ("\u{feff}<HTML lang=en>", "a web page", "Download"),
    ("<?xml version=\"1.0\"?><Error>", "a web page", "Download"),
    ("version https://git-lfs.github.com/spec/v1\noid", "Git LFS", "git lfs pull"),
    (
      #"{"metadata":{},"weight_map":{"a":"m-00001-of-00002.safetensors"}}"#, "an index",
      "only a safetensors file"
    ),
    (#"{ "model_type": "vit" }"#, "JSON text", "NAME.safetensors"),
    ("Entry not found\nx", "begins with \"Entry not found\"", "Download"),
    ("GGUF\u{3}\u{0}\u{0}\u{0}\u{0}", "GGUF", "safetensors"),
    ("\u{1c}\u{0}\u{0}\u{0}TFL3\u{0}", "TensorFlow Lite", "library"),
    ("GIF89a\u{1}\u{0}", "a picture", "NAME.safetensors"), ("%PDF-1.4", "a PDF", "NAME.safetensors"),
  ])
  func texts(_ text: String, _ what: String, _ advice: String) throws {
    try check(Array(text.utf8), what, advice)
  }

  @Test(
    arguments: [
      (zip("vit/data.pkl"), "a PyTorch file", "only a safetensors file"),
      (zip("Transformer/x.npy"), "npz", "only a safetensors file"),
      (zip("readme.md"), "zip", "Unpack"), ([0x50, 0x4b, 3, 4, 0, 0, 0, 0, 0, 0], "zip", "Unpack"),
      ([0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46], "a pickle", "torch.save"),
      (TorchFile.legacyMagic + [0x80], "PyTorch file of the old kind", "only a safetensors file"),
      ([0x80, 2, 0x7d, 0x71], "a pickle", "torch.save"), ([0x80, 3, 0x7d], "a pickle", "torch.save"),
      ([0x80, 4, 0x95], "a pickle", "torch.save"), ([0x80, 5, 0x95], "a pickle", "torch.save"),
      ([0x1f, 0x8b, 8, 0], "gzip", "Unpack"), (tar, "a tar archive", "Unpack"),
      ([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], "xz", "Unpack"), ([0x28, 0xb5, 0x2f, 0xfd, 0], "zstd", "Unpack"),
      ([0x89, 0x48, 0x44, 0x46, 13, 10, 26, 10], "HDF5", "library"),
      ([0x93] + Array("NUMPY\u{1}\u{0}".utf8), "NumPy", "numpy.savez"),
      ([0x08, 8, 0x12, 7] + Array("pytorch".utf8), "ONNX", "library"),
      ([0x08, 7, 0x3a, 0x80], "ONNX", "library"),
      ([0x08, 1, 0x12, 0x90], "SavedModel", "library"),
      ([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10], "a picture", "NAME.safetensors"),
      ([0xff, 0xd8, 0xff, 0xe0], "a picture", "NAME.safetensors"),
      (Array("RIFF\u{1}\u{2}\u{3}\u{4}WEBPVP8 ".utf8), "a picture", "NAME.safetensors"),
    ] as [([UInt8], String, String)])
  func signs(_ bytes: [UInt8], _ what: String, _ advice: String) throws { try check(bytes, what, advice) }

  private func check(_ bytes: [UInt8], _ what: String, _ advice: String) throws {
    let folder = try TemporaryFolder()
    let error = checkpointError { _ = try SafetensorsFile(path: folder.file("weights", bytes)) }
    guard case .notWeights(_, let reason, let told?) = error else {
      Issue.record("\(what): \(String(describing: error))")
      return
    }
    #expect(reason.contains(what) && told.contains(advice), "\(error?.description ?? "")")
  }

  @Test("A safetensors file is read whatever its length looks like")
  func lengthsThatLookLikeSigns() throws {
    let folder = try TemporaryFolder()
    for sign: [UInt8] in [[0x08, 0x08, 0x12], [0x80, 0x02], [0x1f, 0x8b]] {
      let length = sign.reversed().reduce(0) { $0 << 8 | Int($1) }
      let header = Array("{}".utf8) + [UInt8](repeating: 0x20, count: length - 2)
      let file = try SafetensorsFile(path: folder.file("f", safetensorsBytes(header, data: [])))
      #expect(file.names.isEmpty)
    }
  }

  @Test("A folder says which file of it to give")
  func folders() throws {
    let folder = try TemporaryFolder()
    func reason() -> String {
      checkpointError { _ = try SafetensorsFile(path: folder.path) }?.description ?? ""
    }
    #expect(reason().contains("no safetensors file is in it"))
    for (name, words) in [
      ("model.safetensors", "Give the file in it: \(folder.path)/model.safetensors."),
      ("a.safetensors", "one of the files in it: a.safetensors, model.safetensors."),
      ("adapter_config.json", "the folder of a trained adapter"),
    ] {
      _ = try folder.file(name, [])
      #expect(reason().contains(words), "\(reason())")
    }
  }

  // MARK: Types

  @Test(
    "Types that Graft does not compute with lie beside those that it does, their sizes checked",
    arguments: [
      ("F8_E4M3", 8), ("F8_E5M2", 8), ("F8_E4M3FNUZ", 8), ("F8_E5M2FNUZ", 8), ("F8_E8M0", 8), ("F4", 4),
      ("F6_E2M3", 6),
      ("F6_E3M2", 6), ("U16", 16), ("U32", 32), ("U64", 64), ("C64", 64),
    ])
  func youngTypes(_ type: String, _ bits: Int) throws {
    let folder = try TemporaryFolder()
    func open(_ bytes: Int) throws -> SafetensorsFile {
      let header =
        #"{"y":{"dtype":"\#(type)","shape":[2,4],"data_offsets":[0,\#(bytes)]},"#
        + #""x":{"dtype":"F32","shape":[1],"data_offsets":[\#(bytes),\#(bytes + 4)]}}"#
      return try SafetensorsFile(path: folder.file("f", safetensorsBytes(header, data: bytes + 4)))
    }
    let file = try open(bits)
    #expect(try file.floats("x") == [0])
    let error = checkpointError { _ = try file.floats("y") }
    #expect(error == .unsupportedType(path: file.path, tensor: "y", type: type, wanted: "floats"))
    for bytes in [bits - 1, bits + 1] {
      let error = checkpointError { _ = try open(bytes) }
      #expect(error?.description.contains("spans \(bytes) bytes") == true, "\(String(describing: error))")
    }
  }

  @Test("A type of another version is not said to be damage", arguments: ["F8_E3M4", "F128", "I4", "BF8"])
  func unknownTypes(_ type: String) throws {
    let folder = try TemporaryFolder()
    let header = #"{"x":{"dtype":"\#(type)","shape":[1],"data_offsets":[0,1]}}"#
    let error = checkpointError {
      _ = try SafetensorsFile(path: folder.file("f", safetensorsBytes(header, data: 1)))
    }
    guard case .unsupportedType(_, "x", type, _) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(error?.description.contains("Convert it to F32") == true)
    #expect(error?.description.contains("wrong") == false && error?.description.contains("ownload") == false)
  }
}
