import Foundation
import Testing

@testable import Graft

@Suite("Checkpoint safetensors files")
struct CheckpointSafetensorsFileTests {
  @Test("Tensors of every type come back bit by bit", arguments: Safetensors.ElementType.allCases)
  func roundTrip(type: Safetensors.ElementType) throws {
    let folder = try TemporaryFolder()
    // Eight elements are whole bytes of every type.
    let bytes = (0..<type.bits).map { UInt8(truncatingIfNeeded: $0 * 37 + 11) }
    let odd = Safetensors.TensorData(name: "odd", type: .u8, shape: [3], bytes: [1, 2, 3])
    let tensor = Safetensors.TensorData(name: "a.\"b\"\\\n\u{1}é", type: type, shape: [2, 4], bytes: bytes)
    let scalar = Safetensors.TensorData(name: "scalar", shape: [], values: [Float(7)])
    let empty = Safetensors.TensorData(name: "empty", shape: [0, 4], values: [Float]())
    try Safetensors.write(
      [odd, scalar, tensor, empty], metadata: ["b\"": "\t", "a": "é"], to: folder.file("f"))

    let file = try SafetensorsFile(path: folder.file("f"))
    #expect(file.names == ["a.\"b\"\\\n\u{1}é", "empty", "odd", "scalar"])
    #expect(file.metadata == ["b\"": "\t", "a": "é"])
    let info = try #require(file.tensors[tensor.name])
    #expect(info.type == type && info.shape == [2, 4] && info.count == 8)
    let address = try file.withRawBytes(tensor.name) { UInt(bitPattern: $0.baseAddress) }
    #expect(type.bits % 8 != 0 || address * 8 % UInt(type.bits) == 0)
    #expect(try file.withRawBytes(tensor.name) { Array($0) } == bytes)
    #expect(try file.withRawBytes("odd") { Array($0) } == [1, 2, 3])
    #expect(try file.floats("scalar") == [7])
    #expect(try file.floats("empty").isEmpty)
    #expect(try folder.contents == ["f"])
  }

  @Test("Floats keep their bits, NaN and subnormals included")
  func floatBits() throws {
    let folder = try TemporaryFolder()
    let bits: [UInt32] = [0, 0x8000_0000, 1, 0x7f7f_ffff, 0x7f80_0000, 0xff80_0000, 0x7fc0_0001, 0x3f80_0000]
    try Safetensors.write([("x", [8], bits.map { Float(bitPattern: $0) })], to: folder.file("f"))
    let file = try SafetensorsFile(path: folder.file("f"))
    #expect(try file.floats("x").map(\.bitPattern) == bits)
    #expect(
      checkpointError { _ = try file.floats("x", requireFinite: true) }
        == .nonFinite(path: file.path, tensor: "x", index: 4))
  }

  @Test("Sixteen-bit floats are converted, also where they are not aligned")
  func halves() throws {
    let folder = try TemporaryFolder()
    let header =
      #"{"h":{"dtype":"F16","shape":[2],"data_offsets":[1,5]},"b":{"dtype":"BF16","shape":[1],"#
      + #""data_offsets":[5,7]},"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#
    let bytes = safetensorsBytes(Array(header.utf8), data: [9, 0x00, 0x3c, 0x01, 0x80, 0x40, 0xc0])
    let file = try SafetensorsFile(path: folder.file("f", bytes))
    #expect(try file.floats("h") == [1, -0x1p-24])
    #expect(try file.floats("b") == [-3])
  }

  @Test("Integers are read as integers only")
  func integers() throws {
    let folder = try TemporaryFolder()
    let values: [Int32] = [.min, -1, 0, .max]
    try Safetensors.write(
      [Safetensors.TensorData(name: "step", shape: [4], values: values)], to: folder.file("f"))
    let file = try SafetensorsFile(path: folder.file("f"))
    #expect(try file.int32s("step") == values)
    #expect(
      checkpointError { _ = try file.floats("step") }
        == .unsupportedType(path: file.path, tensor: "step", type: "I32", wanted: "floats"))
  }

  @Test(
    "Only F64, F32, F16 and BF16 are read as floats; the error names the type",
    arguments: Safetensors.ElementType.allCases)
  func convertible(type: Safetensors.ElementType) throws {
    let folder = try TemporaryFolder()
    let tensor = Safetensors.TensorData(
      name: "x", type: type, shape: [8], bytes: [UInt8](repeating: 0, count: type.bits))
    try Safetensors.write([tensor], to: folder.file("f"))
    let file = try SafetensorsFile(path: folder.file("f"))
    if [.f64, .f32, .f16, .bf16].contains(type) {
      #expect(try file.floats("x") == [Float](repeating: 0, count: 8))
    } else {
      let error = checkpointError { _ = try file.floats("x") }
      #expect(error?.description.contains(type.rawValue) == true)
    }
  }

  @Test("A tensor is copied from another file in its own type, also over that file")
  func copying() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("f")
    let half = Safetensors.TensorData(name: "h", type: .f16, shape: [2], bytes: [1, 2, 3, 4])
    try Safetensors.write([half], to: path)
    let old = try SafetensorsFile(path: path)
    try Safetensors.write(
      [
        Safetensors.TensorData(copying: "h", from: old, as: "copy"),
        Safetensors.TensorData(name: "new", shape: [1], values: [Float(1)]),
      ], to: path)
    let new = try SafetensorsFile(path: path)
    #expect(new.tensors["copy"]?.type == .f16)
    #expect(try new.withRawBytes("copy") { Array($0) } == [1, 2, 3, 4])
    #expect(try old.withRawBytes("h") { Array($0) } == [1, 2, 3, 4])
    #expect(throws: CheckpointError.self) { _ = try Safetensors.TensorData(copying: "x", from: old) }
  }

  @Test("Names that the format does not allow are refused and nothing is written")
  func names() throws {
    let folder = try TemporaryFolder()
    for names in [["a", "a"], ["__metadata__"]] {
      let error = checkpointError {
        try Safetensors.write(names.map { ($0, [1], [0]) }, to: folder.file("f"))
      }
      guard case .cannotWrite = error else {
        Issue.record("\(names): \(String(describing: error))")
        continue
      }
    }
    #expect(try folder.contents.isEmpty)
  }

  @Test("All tensors that do not fit are named at once")
  func mismatch() throws {
    let folder = try TemporaryFolder()
    try Safetensors.write([("a", [2], [0, 0]), ("b", [1], [0]), ("c", [1], [0])], to: folder.file("f"))
    let file = try SafetensorsFile(path: folder.file("f"))
    try file.requireTensors(["a": [2], "b": [1], "c": [1]])
    try file.requireTensors(["a": [2], "b": [1]], ignoring: { $0 == "c" })
    let error = checkpointError { try file.requireTensors(["a": [1, 2], "b": [1], "d": [1]]) }
    #expect(
      error
        == .tensorMismatch(
          path: file.path, missing: ["d"], unexpected: ["c"],
          misshapen: [.init(name: "a", expected: [1, 2], actual: [2])]))
    #expect(error?.description.contains("a is [2], expected [1, 2]") == true)
    #expect(
      checkpointError { _ = try file.floats("x") }
        == .tensorMismatch(path: file.path, missing: ["x"], unexpected: [], misshapen: []))
  }

  @Test("The hash depends on names, types, shapes and bytes, and on nothing else")
  func contentHash() throws {
    let folder = try TemporaryFolder()
    func hash(_ tensors: [Safetensors.TensorData], _ metadata: [String: String] = [:]) throws -> String {
      try Safetensors.write(tensors, metadata: metadata, to: folder.file("f"))
      return try SafetensorsFile(path: folder.file("f")).contentHash
    }
    func one(_ name: String, _ shape: [Int], _ type: Safetensors.ElementType = .f32) -> Safetensors.TensorData
    {
      Safetensors.TensorData(name: name, type: type, shape: shape, bytes: [0, 0, 128, 63, 0, 0, 0, 64])
    }
    let other = Safetensors.TensorData(name: "z", shape: [1], values: [Float(3)])
    let base = try hash([one("a", [2]), other])
    #expect(try hash([other, one("a", [2])], ["format": "pt"]) == base)
    let different = try [
      hash([one("b", [2]), other]), hash([one("a", [2, 1]), other]), hash([one("a", [2], .i32), other]),
      hash([one("a", [2])]),
      hash([Safetensors.TensorData(name: "a", shape: [2], values: [Float(1), 3]), other]),
    ]
    #expect(Set(different + [base]).count == 6)
  }

  @Test("The hash is the documented one: computed once in Python with hashlib")
  func goldenHash() throws {
    let folder = try TemporaryFolder()
    try Safetensors.write([("b", [1, 2], [1, 2]), ("a", [], [-1])], to: folder.file("f"))
    #expect(
      try SafetensorsFile(path: folder.file("f")).contentHash
        == "66d8487052874a8fd2e94cb0a2c1b5da8fd86a4ce2b4a182c4b0ac9e8b021e51")
  }
}
