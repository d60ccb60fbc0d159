// swift-format-ignore-file: NeverForceUnwrap

import Foundation
import GraftSystem
import Testing

@testable import Graft

/// Files that the libraries themselves wrote (tools/fixtures/containers.py): every value comes back as it was.
@Suite("Checkpoint containers") struct ContainerTests {
  static let folder = Fixtures.folder / "containers"

  /// Compares a file with a set of `expected.safetensors`, bit by bit.
  private func check(
    _ file: any TensorFile, _ group: String, where isHeld: (TensorInfo) -> Bool = { _ in true },
    named: @escaping (String) -> String = { $0 }, besides others: Set<String> = []
  ) throws {
    let expected = try Fixtures.open("containers/expected")
    let held = expected.names.filter { $0.hasPrefix("\(group):") && isHeld(expected.tensors[$0]!) }
    let name = { (key: String) in named(String(key.dropFirst(group.count + 1))) }
    #expect(!held.isEmpty && Set(held.map(name)).union(others) == Set(file.names))
    for key in held {
      #expect(file.tensors[name(key)] == expected.tensors[key], "\(key)")
      let (found, wanted) = try (
        file.withRawBytes(name(key)) { Array($0) }, expected.withRawBytes(key) { Array($0) }
      )
      #expect(found == wanted, "\(key)")
      if expected.tensors[key]!.type == .f32 {
        #expect(try file.floats(name(key)) == expected.floats(key), "\(key)")
      }
    }
  }

  @Test(
    "PyTorch's files give what PyTorch put into them",
    arguments: [
      ("plain.pth", "plain"), ("legacy.pth", "plain"), ("module.pt", "module"), ("trainer.pth", "module"),
      ("trainer_legacy.pth.tar", "module"), ("nested_legacy.pth", "module"), ("pytorch_model.bin", "many"),
    ])
  func torch(_ name: String, _ group: String) throws {
    let file = try TensorFiles.open(Self.folder / name)
    #expect(file is TorchFile && file.path == Self.folder / name && file.metadata.isEmpty)
    try check(file, group)
  }

  @Test("Parameters are their tensors")
  func parameters() throws {
    try check(TensorFiles.open(Self.folder / "parameters.pth"), "plain") {
      [.f64, .f32, .f16, .bf16].contains($0.type)
    }
  }

  @Test("NumPy's archives, stored and compressed", arguments: ["stored.npz", "compressed.npz"])
  func numpy(_ name: String) throws {
    let file = try TensorFiles.open(Self.folder / name)
    #expect(file is NPZFile)
    try check(
      file, "plain", where: { $0.type != .bf16 },
      named: { "Transformer/" + $0.replacing(".", with: "/") }, besides: ["zeros"])
    #expect(try file.floats("zeros") == [Float](repeating: 0, count: 256))
  }

  @Test(
    "Shards by their index, by one of them, and by their folder",
    arguments: ["/model.safetensors.index.json", "/model-00002-of-00002.safetensors", ""])
  func shards(_ name: String) throws {
    let file = try TensorFiles.open(FilePath("\(Self.folder)/sharded\(name)"))
    #expect(file is ShardedFile && file.path == Self.folder / "sharded/model.safetensors.index.json")
    try check(file, "plain")
  }

  @Test("The hash is that of names, types and values, whatever the format")
  func hashes() throws {
    let files = try ["plain.pth", "legacy.pth", "sharded"].map { try TensorFiles.open(Self.folder / $0) }
    let folder = try TemporaryFolder()
    try Safetensors.write(
      files[0].names.map { try .init(copying: $0, from: files[0]) }, to: folder.file("f"))
    let whole = try TensorFiles.open(folder.file("f"))
    #expect(whole is SafetensorsFile)
    #expect(Set(files.map(\.contentHash)) == [whole.contentHash])
    let packed = try ["stored.npz", "compressed.npz"].map {
      try TensorFiles.open(Self.folder / $0).contentHash
    }
    #expect(packed[0] == packed[1] && packed[0] != whole.contentHash)
  }

  @Test("Hashes of today's files stay what they were: computed by Python's hashlib")
  func pinnedHashes() throws {
    let hashes = try JSON.value([String: String].self, of: text(Self.folder / "hashes.json"))
    #expect(hashes.count > 50)
    for (name, hash) in hashes {
      #expect(try TensorFiles.open(Fixtures.folder / name).contentHash == hash, "\(name)")
    }
  }

  @Test("Numbers of 64 bits are read as floats, and refused where none is near")
  func doubles() throws {
    let folder = try TemporaryFolder()
    let bytes = [0.1, 1e300, -2].flatMap { little($0.bitPattern) }
    try Safetensors.write(
      [Safetensors.TensorData(name: "x", type: .f64, shape: [3], bytes: bytes)], to: folder.file("f"))
    let file = try TensorFiles.open(folder.file("f"))
    #expect(try file.floats("x") == [0.1, .infinity, -2])
    #expect(
      checkpointError { _ = try file.floats("x", requireFinite: true) }
        == .nonFinite(path: file.path, tensor: "x", index: 1))
  }

  @Test("Names that are not there, and all that do not fit, in every format")
  func mismatch() throws {
    for name in ["plain.pth", "stored.npz", "sharded", "sharded/model.safetensors.index.json"] {
      let file = try TensorFiles.open(Self.folder / name)
      let missing = CheckpointError.tensorMismatch(
        path: file.path, missing: ["x"], unexpected: [], misshapen: [])
      #expect(checkpointError { _ = try file.floats("x") } == missing)
      #expect(checkpointError { _ = try file.withRawBytes("x") { _ in } } == missing)
      #expect(checkpointError { try file.requireTensors(["x": [1]], ignoring: { _ in true }) } == missing)
    }
  }

  // MARK: Folders

  @Test("The file of weights in a folder is found, or those are listed that may be meant")
  func folders() throws {
    let folder = try TemporaryFolder()
    func opened() throws -> String { try TensorFiles.open(folder.path).path.lastComponent!.string }
    func reason() -> String {
      checkpointError { _ = try TensorFiles.open(folder.path) }?.description ?? ""
    }
    func copy(_ name: String, as new: String) throws {
      _ = try folder.file(new, bytes(Self.folder / name))
    }
    _ = try folder.file("config.json", Array("{}".utf8))
    #expect(reason().contains("no file of weights"))
    try copy("plain.pth", as: "best.pth")
    #expect(try opened() == "best.pth")
    try copy("stored.npz", as: "a.npz")
    #expect(reason().contains("one of the files in it: a.npz, best.pth."))
    try copy("pytorch_model.bin", as: "pytorch_model.bin")
    #expect(try opened() == "pytorch_model.bin")
    try copy("sharded/model-00001-of-00002.safetensors", as: "model-00001-of-00002.safetensors")
    try copy("sharded/model-00002-of-00002.safetensors", as: "model-00002-of-00002.safetensors")
    try copy("sharded/model.safetensors.index.json", as: "model.safetensors.index.json")
    #expect(try opened() == "model.safetensors.index.json")
    try copy("expected.safetensors", as: "model.safetensors")
    #expect(try opened() == "model.safetensors")
    _ = try folder.file("adapter_config.json", [])
    #expect(reason().contains("the folder of a trained adapter"))
  }

  @Test("A file is told by its bytes, not by its name")
  func misnamed() throws {
    let folder = try TemporaryFolder()
    for name in ["plain.pth", "legacy.pth", "stored.npz", "expected.safetensors"] {
      let path = try folder.file("weights.safetensors", bytes(Self.folder / name))
      #expect(try TensorFiles.open(path).names == TensorFiles.open(Self.folder / name).names)
    }
  }

  @Test(
    "What is no weights says what it is",
    arguments: [("GIF89a\u{1}", "a picture"), ("", "empty"), ("{}", "JSON")])
  func others(_ text: String, _ what: String) throws {
    let folder = try TemporaryFolder()
    let error = checkpointError { _ = try TensorFiles.open(folder.file("f", Array(text.utf8))) }
    #expect(error?.description.contains(what) == true, "\(String(describing: error))")
    let absent = folder.file("absent")
    #expect(checkpointError { _ = try TensorFiles.open(absent) } == .missingFile(path: absent))
  }
}
