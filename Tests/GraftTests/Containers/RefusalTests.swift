// swift-format-ignore-file: NeverForceUnwrap

import Foundation
import GraftSystem
import Testing

@testable import Graft

/// A wounded file, and words of the refusal.
struct Wound: Sendable, CustomTestStringConvertible {
  let what: String
  let bytes: [UInt8]
  let says: [String]

  init(_ what: String, _ bytes: [UInt8], _ says: String...) {
    self.init(what: what, bytes: bytes, says: says)
  }

  init(what: String, bytes: [UInt8], says: [String]) {
    (self.what, self.bytes, self.says) = (what, bytes, says)
  }

  var testDescription: String { what }
}

/// Files that lie, break a rule, or hold what is not read: one wound each, refused by a typed error that says which.
@Suite("Checkpoint containers, refusals") struct RefusalTests {
  private func check(_ wound: Wound) throws {
    let folder = try TemporaryFolder()
    let path = try folder.file("f.pth", wound.bytes)
    let error = checkpointError { _ = try TensorFiles.open(path) }
    let text = try #require(error, "it was read").description
    #expect(text.hasPrefix("\(path): "))
    for words in wound.says { #expect(text.contains(words), "\(text)") }
  }

  // MARK: Sound ones

  @Test("What the wounds are made in is read, in both formats")
  func sound() throws {
    let folder = try TemporaryFolder()
    let data = [Float](arrayLiteral: 1, 2, 3, 4).flatMap { little($0.bitPattern) }
    let value = Pickle.dictionary([
      ("w", Pickle.tensor()), ("t", Pickle.tensor(Pickle.storage(), [2, 2], [1, 2])),
      ("row", Pickle.tensor(Pickle.storage(), offset: 2, [2], [1])), ("none", [UInt8(ascii: "N")]),
      ("opaque", Pickle.call(Pickle.name("os", "system"), [Pickle.text("touch here")])),
    ])
    for bytes in [
      torchArchive(Pickle.whole(value), storages: [("0", data)]),
      torchArchive(Pickle.whole(value, version: 3), storages: [("0", data)]),
      legacyTorch(value, storages: [(4, data)]),
    ] {
      let file = try TensorFiles.open(folder.file("f", bytes))
      #expect(file.names == ["row", "t", "w"])
      #expect(try file.floats("w") == [1, 2, 3, 4])
      #expect(try file.floats("t") == [1, 3, 2, 4])
      #expect(try file.floats("row") == [3, 4])
    }
  }

  @Test("Python 2's ordered dictionaries and strings, and wrappers in their order")
  func olderForms() throws {
    let folder = try TemporaryFolder()
    let short: (String) -> [UInt8] = { [UInt8(ascii: "U"), UInt8($0.utf8.count)] + Array($0.utf8) }
    let pairs = Array("](](".utf8) + short("w") + Pickle.tensor() + Array("ee".utf8)
    let ordered = Pickle.call(Pickle.name("collections", "OrderedDict"), [pairs])
    #expect(try TensorFiles.open(folder.file("f", torchArchive(Pickle.whole(ordered)))).names == ["w"])
    let wrapped = Pickle.dictionary([
      ("teacher", Pickle.dictionary([("a", Pickle.tensor())])),
      ("model", Pickle.dictionary([("lr", [0x88])])),
      ("state_dict", Pickle.dictionary([("model", Pickle.dictionary([("b", Pickle.tensor())]))])),
      ("w", Pickle.tensor()),
    ])
    #expect(try TensorFiles.open(folder.file("f", torchArchive(Pickle.whole(wrapped)))).names == ["b"])
  }

  @Test("Archives with 64-bit records and a comment")
  func large() throws {
    let folder = try TemporaryFolder()
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1L,), }"
    for method: UInt16 in [0, 8] {
      let member = ZipMember(name: "a.npy", bytes: npy(header, little(Float(3).bitPattern)), method: method)
      let bytes = zipArchive([member], isLarge: true, comment: "PK\u{5}\u{6}")
      #expect(try TensorFiles.open(folder.file("f", bytes)).floats("a") == [3])
    }
  }

  @Test("A dictionary that holds itself, and values nested as deeply as they may be, are passed over")
  func circular() throws {
    let folder = try TemporaryFolder()
    // } remembered as 0, and put into itself as model.
    let inner = Array("}q\0X".utf8) + little(UInt32(5)) + Array("modelh\0s".utf8)
    let nested =
      [UInt8](repeating: UInt8(ascii: "]"), count: 200_000)
      + [UInt8](repeating: UInt8(ascii: "a"), count: 199_999)
    for value in [inner, nested] {
      let entries = Pickle.dictionary([("model", value), ("w", Pickle.tensor())])
      #expect(try TensorFiles.open(folder.file("f", torchArchive(Pickle.whole(entries)))).names == ["w"])
    }
  }

  /// Instructions that PyTorch never writes, each alone before a sound value.
  @Test(
    "Instructions that PyTorch does not write",
    arguments: [
      "i", "o", "0", "1", "2", "F", "g", "p", "I", "L", "P", "S", "T", "V", "d", "l", "\u{82}", "\u{83}",
      "\u{84}", "\u{8b}", "\u{8c}", "\u{8d}", "\u{8e}", "\u{8f}", "\u{90}", "\u{91}", "\u{92}", "\u{93}",
      "\u{94}", "\u{95}",
      "\u{96}", "\u{97}", "\u{98}", "\u{ff}",
    ])
  func instructions(_ code: Unicode.Scalar) throws {
    let bytes = torchArchive(Pickle.whole([UInt8(code.value)] + Pickle.dictionary([("w", Pickle.tensor())])))
    try check(Wound("", bytes, "the instruction 0x\(String(code.value, radix: 16))", "torch.save"))
  }

  @Test("Pickles", arguments: Wound.pickles)
  func pickles(_ wound: Wound) throws { try check(wound) }

  @Test("Tensors", arguments: Wound.tensors)
  func tensors(_ wound: Wound) throws { try check(wound) }

  @Test("PyTorch's files", arguments: Wound.torch)
  func torch(_ wound: Wound) throws { try check(wound) }

  @Test("Zip archives", arguments: Wound.archives)
  func archives(_ wound: Wound) throws { try check(wound) }

  @Test("NumPy's arrays", arguments: Wound.arrays)
  func arrays(_ wound: Wound) throws { try check(wound) }

  // MARK: Indices

  @Test(
    "Indices of shards",
    arguments: [
      (#"{"weight_map":{"a":"m1.safetensors","b":"m2.safetensors"}}"#, ""),
      (
        #"{"metadata":{"x":[{},"}"]},"weight_map":{"a":"m1.safetensors","b":"./m2.safetensors"}}"#,
        "is no file beside it"
      ),
      (#"{"weight_map":{"a":"m1.safetensors","b":"../m2.safetensors"}}"#, "is no file beside it"),
      (#"{"weight_map":{"a":"/m1.safetensors"}}"#, "is no file beside it"),
      (#"{"weight_map":{"a":""}}"#, "is no file beside it"),
      (#"{"weight_map":{"a":"m1.safetensors","b":"gone.safetensors"}}"#, "gone.safetensors: no such file"),
      (#"{"weight_map":{"a":"m1.safetensors","c":"m1.safetensors"}}"#, "tensor c is not in m1"),
      (#"{"weight_map":{"a":"m1.safetensors","b":"m1.safetensors"}}"#, "tensor b is not in m1"),
      (#"{"weight_map":{"a":"m1.safetensors","b":"both.safetensors"}}"#, "tensor a is in both"),
      (#"{"weight_map":{"b":"both.safetensors"}}"#, "by the index nowhere"),
      (#"{"weight_map":{"a":"m1.safetensors","a":"m1.safetensors"}}"#, "tensor a appears twice"),
      (#"{"weight_map":{},"weight_map":{}}"#, "weight_map appears twice"),
      (#"{"weight_map":{"a":1}}"#, "expected a string"),
      (#"{"metadata":,"weight_map":{}}"#, "expected a value"),
      (#"{"metadata":],"weight_map":{}}"#, "expected a value"),
      (#"{"a":{"b":[1,,"weight_map":{}"#, "expected a value"), (#"{"a":1}"#, "no weight_map"),
      (#"{"weight_map":{}} x"#, "text follows"),
      (#"{"weight_map":{"a":"index.json"}}"#, "an index of several files"),
    ])
  func indices(_ index: String, _ says: String) throws {
    let folder = try TemporaryFolder()
    try Safetensors.write([("a", [1], [1])], to: folder.file("m1.safetensors"))
    try Safetensors.write([("b", [1], [2])], to: folder.file("m2.safetensors"))
    try Safetensors.write([("a", [1], [1]), ("b", [1], [2])], to: folder.file("both.safetensors"))
    let path = try folder.file("index.json", Array(index.utf8))
    guard !says.isEmpty else {
      let file = try ShardedFile(index: path)
      #expect(try file.floats("a") + file.floats("b") == [1, 2])
      return
    }
    let error = checkpointError { _ = try ShardedFile(index: path) }
    #expect(error?.description.contains(says) == true, "\(String(describing: error))")
  }

  @Test("PyTorch's files behind an index, and a shard whose index is missing")
  func otherShards() throws {
    let folder = try TemporaryFolder()
    let shard = try folder.file("pytorch_model-00001-of-00002.bin", torchArchive(Wound.sound))
    let error = checkpointError { _ = try TensorFiles.open(shard) }?.description ?? ""
    #expect(error.contains("pytorch_model.bin.index.json, is missing") && error.contains("Fetch all"))
    let other = Pickle.whole(Pickle.dictionary([("v", Pickle.tensor())]))
    _ = try folder.file("pytorch_model-00002-of-00002.bin", torchArchive(other))
    let index =
      #"{"weight_map":{"w":"pytorch_model-00001-of-00002.bin","v":"pytorch_model-00002-of-00002.bin"}}"#
    _ = try folder.file("pytorch_model.bin.index.json", Array(index.utf8))
    for path in [shard, folder.path] { #expect(try TensorFiles.open(path).names == ["v", "w"]) }
    // One of one is whole.
    let whole = try folder.file("x-00001-of-00001.bin", torchArchive(Wound.sound))
    #expect(try TensorFiles.open(whole).names == ["w"])
  }
}

// MARK: The wounds

extension Wound {
  private static func pickle(_ what: String, _ value: [UInt8], _ says: String) -> Wound {
    Wound(what, torchArchive(Pickle.whole(value)), says)
  }

  private static func entry(_ what: String, _ tensor: [UInt8], _ says: String) -> Wound {
    pickle(what, Pickle.dictionary([("w", tensor)]), says)
  }

  static let pickles = [
    Wound(
      "protocol 4", torchArchive(Pickle.whole(Pickle.dictionary([]), version: 4)), "of protocol 4",
      "torch.save"),
    Wound("protocol 5", torchArchive(Pickle.whole(Pickle.dictionary([]), version: 5)), "of protocol 5"),
    Wound("cut off", torchArchive([0x80, 2] + Pickle.text("abc").dropLast()), "cut off"),
    Wound("no end", torchArchive([0x80, 2, UInt8(ascii: "N")]), "cut off"),
    Wound("empty", torchArchive([]), "cut off"),
    pickle("two values", Array("NN".utf8), "ends with 2 values"),
    pickle("an open mark", Array("N(".utf8), "ends with"),
    pickle("no mark", Array("t".utf8), "a mark is missing"),
    pickle("nothing to call", Array("R".utf8), "a value is missing"),
    pickle("values below a mark", Array("N(".utf8) + [0x85], "a value is missing"),
    pickle("deep marks", [UInt8](repeating: UInt8(ascii: "("), count: 1001), "nested too deeply"),
    pickle("an unknown memory", Array("h\u{7}".utf8), "was not remembered"),
    pickle("a large memory", Array("Nr".utf8) + little(UInt32(1 << 24)), "remembered as number"),
    pickle("a long name", Array("c".utf8) + [UInt8](repeating: 0x61, count: 600), "a name is longer"),
    pickle("an odd entry", Array("}(NNNu".utf8), "a key has no value"),
    pickle("entries of a list", Array("]NNs".utf8), "no dictionary"),
    pickle("items of a dictionary", Array("}Na".utf8), "no list"),
    pickle("state of a list", Array("]Nb".utf8), "no object"),
    pickle("a call of a number", Array("N)R".utf8), "no name"),
    pickle(
      "an object as key", Array("}".utf8) + Pickle.call(Pickle.name("a", "b"), []) + Array("Ns".utf8),
      "neither text"),
    pickle(
      "a long key", Pickle.dictionary([(String(repeating: "k", count: 600), Pickle.tensor())]),
      "a key is longer"),
    pickle(
      "a model with its code", Pickle.call(Pickle.name("my.models", "ViT"), []), "an object, my.models.ViT"),
    pickle(
      "a model with its code in a trainer's file",
      Pickle.dictionary([("model", Pickle.call(Pickle.name("my", "ViT"), []))]),
      "its model is an object, my.ViT"),
    pickle("no tensors", Pickle.dictionary([("epoch", [0x88]), ("lr", [0x88])]), "its keys are: epoch, lr"),
    pickle(
      "a list of tensors", Array("]".utf8) + Pickle.tensor() + Array("a".utf8), "no dictionary of tensors"),
  ]

  static let tensors = [
    entry(
      "quantised",
      Pickle.call(Pickle.name("torch._utils", "_rebuild_qtensor"), [Pickle.storage(type: "QInt8Storage")]),
      "tensor w holds quantised numbers (torch._utils._rebuild_qtensor)"),
    entry(
      "an unknown storage", Pickle.tensor(Pickle.storage(type: "QInt8Storage")),
      "holds quantised numbers (torch.QInt8Storage)"),
    entry(
      "a parameter of an object",
      Pickle.call(
        Pickle.name("torch._utils", "_rebuild_parameter"), [Pickle.call(Pickle.name("a", "B"), [])]),
      "holds no plain tensor but a.B"),
    entry(
      "a parameter of nothing", Pickle.call(Pickle.name("torch._utils", "_rebuild_parameter"), []),
      "no tensor"),
    entry("a tensor of text", Pickle.tensor(Pickle.text("x")), "no storage"),
    entry("no storage's description", Pickle.text("storage") + [UInt8(ascii: "Q")], "is not described"),
    entry("a view of a storage", Pickle.tensor(Pickle.storage(view: Pickle.tuple([]))), "a view of another"),
    entry("one element too many", Pickle.tensor(Pickle.storage(), [5], [1]), "beyond the 4 elements"),
    entry("an offset too far", Pickle.tensor(Pickle.storage(), offset: 1, [4], [1]), "beyond the 4 elements"),
    entry("an empty tensor behind the end", Pickle.tensor(Pickle.storage(), offset: 5, [0], [1]), "beyond"),
    entry("strides too wide", Pickle.tensor(Pickle.storage(), [2, 2], [3, 1]), "beyond the 4 elements"),
    entry("a negative stride", Pickle.tensor(Pickle.storage(), [4], [-1]), "is not described"),
    entry("a negative offset", Pickle.tensor(Pickle.storage(), offset: -1, [4], [1]), "is not described"),
    entry("a negative size", Pickle.tensor(Pickle.storage(), [-4], [1]), "is not described"),
    entry("fewer strides", Pickle.tensor(Pickle.storage(), [2, 2], [1]), "is not described"),
    entry(
      "nine dimensions",
      Pickle.tensor(Pickle.storage(), [Int](repeating: 1, count: 9), [Int](repeating: 1, count: 9)),
      "is not described"),
    entry("an overflowing size", Pickle.tensor(Pickle.storage(), [.max, .max], [0, 0]), "too large"),
    entry("an overflowing stride", Pickle.tensor(Pickle.storage(), [3], [.max]), "beyond the 4 elements"),
    entry("an overflowing storage", Pickle.tensor(Pickle.storage(count: .max)), "is too large"),
    entry("one element for many", Pickle.tensor(Pickle.storage(), [1 << 40], [0]), "stand for several"),
    entry("a count that lies", Pickle.tensor(Pickle.storage(count: 5)), "has 16 bytes, and 5 elements"),
    entry(
      "a type that lies", Pickle.tensor(Pickle.storage(type: "HalfStorage")),
      "has 16 bytes, and 4 elements of F16"),
    entry("a storage that is missing", Pickle.tensor(Pickle.storage("7")), "storage 7 is missing"),
    pickle(
      "a storage in two ways",
      Pickle.dictionary([("a", Pickle.tensor()), ("b", Pickle.tensor(Pickle.storage(count: 3), [3]))]),
      "in two ways"),
  ]

  private static let value = Pickle.dictionary([("w", Pickle.tensor())])
  fileprivate static let sound = Pickle.whole(value)

  static let torch = [
    Wound(
      "TorchScript", torchArchive(sound, and: [ZipMember(name: "a/constants.pkl", bytes: [])]), "TorchScript",
      "state_dict"),
    Wound(
      "TorchScript's code", torchArchive(sound, and: [ZipMember(name: "a/code/x.py", bytes: [])]),
      "TorchScript"),
    Wound(
      "big-endian", torchArchive(sound, and: [ZipMember(name: "a/byteorder", bytes: Array("big".utf8))]),
      "big-endian", "torch.save"),
    Wound(
      "two pickles", torchArchive(sound, and: [ZipMember(name: "b/data.pkl", bytes: sound)]),
      "2 files data.pkl"),
    Wound(
      "a compressed storage",
      zipArchive([
        ZipMember(name: "a/data.pkl", bytes: sound),
        ZipMember(name: "a/data/0", bytes: [UInt8](repeating: 0, count: 16), method: 8),
      ]), "a/data/0 is compressed", "torch.save"),
    Wound(
      "a compressed pickle",
      zipArchive([
        ZipMember(name: "a/data.pkl", bytes: sound, method: 8),
        ZipMember(name: "a/data/0", bytes: [UInt8](repeating: 0, count: 16)),
      ]), "a/data.pkl is compressed"),
    Wound("an old version", legacyTorch(value, version: 1000), "never was"),
    Wound("old and big-endian", legacyTorch(value, isLittle: false), "big-endian"),
    Wound(
      "an old count that lies", legacyTorch(value, storages: [(5, [UInt8](repeating: 0, count: 20))]),
      "has 5 elements, and 4"),
    Wound("an old file cut off", Array(legacyTorch(value).dropLast()), "truncated", "has"),
    Wound("an old file without storages", legacyTorch(value, keys: [], storages: []), "storage 0 is missing"),
    Wound("a storage listed twice", legacyTorch(value, keys: ["0", "0"]), "lists a storage twice"),
    Wound("a storage of nobody", legacyTorch(value, keys: ["1"]), "one of no tensor"),
    Wound("an old file's head alone", Array(legacyTorch(value).prefix(15)), "cut off"),
    Wound("a pickle of anybody", sound, "a pickle without the marks", "torch.save"),
    Wound(
      "a tar archive", [UInt8](repeating: 0, count: 257) + Array("ustar\u{0}00".utf8), "a tar archive", "2017"
    ),
  ]

  private static func archive(_ change: (inout [UInt8]) -> Void) -> [UInt8] {
    var bytes = torchArchive(sound)
    change(&bytes)
    return bytes
  }

  /// Where the directory begins, by the record at the end.
  private static func directory(_ bytes: [UInt8]) -> Int {
    bytes[(bytes.count - 6)..<(bytes.count - 2)].reversed().reduce(0) { $0 << 8 | Int($1) }
  }

  private static let npyHeader = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }"
  private static let array = npy(npyHeader, [0, 0, 0, 0])

  static let archives = [
    Wound("cut off", archive { $0.removeLast(30) }, "no directory at its end"),
    Wound("a byte behind the end", archive { $0.append(0) }, "no directory at its end"),
    Wound("a directory elsewhere", archive { $0[directory($0)] = 0 }, "its directory ends early"),
    Wound("a directory beyond the end", archive { $0[$0.count - 4] = 0xff }, "is not where it should be"),
    Wound("a directory that is longer", archive { $0[$0.count - 9] = 0xff }, "is not where it should be"),
    Wound("more entries than there are", archive { $0[$0.count - 12] = 9 }, "its directory ends early"),
    Wound("a member elsewhere", archive { $0[directory($0) + 42] = 1 }, "is not where the directory says"),
    Wound("a member of two sizes", archive { $0[directory($0) + 24] ^= 1 }, "has two sizes"),
    Wound(
      "a member that is longer", archive { for place in [22, 26] { $0[directory($0) + place] = 0xff } },
      "into the directory"),
    Wound(
      "an encrypted member", zipArchive([ZipMember(name: "a/data.pkl", bytes: [], flags: 1)]), "encrypted"),
    Wound(
      "a name outside", torchArchive(sound, and: [ZipMember(name: "a/../../x", bytes: [])]),
      "none of a file in it"),
    Wound(
      "a name from the root", torchArchive(sound, and: [ZipMember(name: "/x", bytes: [])]),
      "none of a file in it"),
    Wound("a name twice", torchArchive(sound, storages: [("0", [1]), ("0", [1])]), "is there twice"),
    Wound("no weights", zipArchive([ZipMember(name: "readme.md", bytes: [1])]), "without weights", "Unpack"),
    Wound(
      "a bomb", zipArchive([ZipMember(name: "a.npy", bytes: array, method: 8, size: 1 << 30)]),
      "far more than"),
    Wound(
      "a wrong check sum", zipArchive([ZipMember(name: "a.npy", bytes: array, method: 8, checksum: 1)]),
      "check sum"),
    Wound(
      "a size that is less", zipArchive([ZipMember(name: "a.npy", bytes: array, method: 8, size: 9)]),
      "more than its 9"),
    Wound(
      "a size that is more", zipArchive([ZipMember(name: "a.npy", bytes: array, method: 8, size: 900)]),
      "of its 900"),
    Wound(
      "members in one another",
      {
        var bytes = zipArchive([
          ZipMember(name: "a.npy", bytes: array), ZipMember(name: "b.npy", bytes: array),
        ])
        // The second entry, 46 bytes and a name behind the first, tells the place of the first.
        let second = directory(bytes) + 46 + 5
        bytes.replaceSubrange(second + 42..<second + 46, with: [0, 0, 0, 0])
        return bytes
      }(), "overlaps another"),
  ]

  private static func numpy(_ what: String, _ header: String, _ says: String..., data: Int = 4) -> Wound {
    let bytes = zipArchive([ZipMember(name: "w.npy", bytes: npy(header, [UInt8](repeating: 0, count: data)))])
    return Wound(what: what, bytes: bytes, says: says)
  }

  static let arrays = [
    numpy(
      "big-endian", "{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", "array w holds big-endian",
      "astype"),
    numpy("objects", "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "objects of Python's"),
    numpy(
      "bfloat16", "{'descr': '|V2', 'fortran_order': False, 'shape': (2,), }", "perhaps bfloat16", "astype"),
    numpy("texts", "{'descr': '<U1', 'fortran_order': False, 'shape': (1,), }", "values of the type <U1"),
    numpy("records", "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", "holds records"),
    numpy(
      "columns", "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1), }", "Fortran's order",
      "ascontiguousarray"),
    numpy(
      "more than there is", "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }",
      "is F32 [2] but spans 4"),
    numpy("less than there is", npyHeader, "spans 5 bytes", data: 5),
    numpy(
      "an overflow", "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 2), }",
      "too large"),
    numpy(
      "overflowing digits", "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }",
      "not as NumPy"),
    numpy("a negative size", "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", "not as NumPy"),
    numpy(
      "nine dimensions", "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }",
      "too large"),
    numpy(
      "ten dimensions", "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,1), }",
      "not as NumPy"),
    numpy("a key too few", "{'descr': '<f4', 'shape': (1,), }", "not as NumPy"),
    numpy(
      "a key twice", "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,), }",
      "not as NumPy"),
    numpy("a call", "{'descr': f('<f4'), 'fortran_order': False, 'shape': (1,), }", "not as NumPy"),
    numpy("text behind", npyHeader + "1", "not as NumPy"),
    Wound("no header", zipArchive([ZipMember(name: "w.npy", bytes: [1, 2, 3])]), "no header of NumPy's"),
    Wound(
      "a header cut off", zipArchive([ZipMember(name: "w.npy", bytes: Array(array.prefix(20)))]), "too long"),
    Wound(
      "another version",
      zipArchive([ZipMember(name: "w.npy", bytes: [0x93] + Array("NUMPY\u{9}\0\u{4}\0abcd".utf8))]),
      "not known"),
    Wound(
      "another method", zipArchive([ZipMember(name: "w.npy", bytes: array, method: 12)]), "by method 12",
      "savez"),
  ]
}
