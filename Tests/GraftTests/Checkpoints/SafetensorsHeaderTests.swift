// swift-format-ignore-file: NeverForceUnwrap

import Foundation
import Testing

@testable import Graft

/// A header that must be refused, and a word that the error must say.
struct HostileHeader: CustomTestStringConvertible {
  let testDescription: String
  let bytes: [UInt8]
  let says: String

  init(_ rule: String, _ header: String, data: Int = 4, says: String) {
    testDescription = rule
    bytes = safetensorsBytes(header, data: data)
    self.says = says
  }

  init(_ rule: String, bytes: [UInt8], says: String) {
    testDescription = rule
    self.bytes = bytes
    self.says = says
  }

  private static func tensor(_ type: String, _ shape: String, _ offsets: String) -> String {
    #"{"dtype":"\#(type)","shape":\#(shape),"data_offsets":\#(offsets)}"#
  }

  private static let one = tensor("F32", "[1]", "[0,4]")

  static let all: [HostileHeader] = [
    // The length before the header.
    HostileHeader("an empty file", bytes: [], says: "empty"),
    HostileHeader("seven bytes", bytes: [2, 0, 0, 0, 0, 0, 0], says: "truncated"),
    HostileHeader("no header", bytes: [0, 0, 0, 0, 0, 0, 0, 0], says: "does not start with {"),
    HostileHeader(
      "a length beyond the file", bytes: [9, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0x7d], says: "truncated"),
    HostileHeader(
      "a length of more than 16 MiB", bytes: [1, 0, 0, 1, 0, 0, 0, 0, 0x7b, 0x7d], says: "at most 16777216"),
    HostileHeader(
      "a length of 2^64 - 1", bytes: [UInt8](repeating: 255, count: 8) + [0x7b, 0x7d], says: "at most"),
    HostileHeader("a zip archive", bytes: [0x50, 0x4b, 3, 4, 0, 0, 0, 0, 0, 0], says: "PyTorch"),
    HostileHeader(
      "a Git LFS pointer", bytes: Array("version https://git-lfs.github.com/spec\n".utf8), says: "git lfs"),
    // JSON.
    HostileHeader("white space before the brace", " {}", data: 0, says: "does not start with {"),
    HostileHeader("a list", "[]", data: 0, says: "does not start with {"),
    HostileHeader("no closing brace", "{", data: 0, says: "expected"),
    HostileHeader("text after the last brace", "{} x", data: 0, says: "follows"),
    HostileHeader("a zero byte after the last brace", "{}\u{0}", data: 0, says: "follows"),
    HostileHeader("a comma too many", #"{"a":\#(one),}"#, says: "expected a string"),
    HostileHeader("no colon", #"{"a"\#(one)}"#, says: "expected :"),
    HostileHeader("a name without quotes", "{a:\(one)}", says: "expected a string"),
    HostileHeader("a tensor that is a list", #"{"a":[]}"#, says: "expected {"),
    HostileHeader("a tensor that is null", #"{"a":null}"#, says: "expected {"),
    HostileHeader(
      "deep nesting", #"{"a":"# + String(repeating: "{\"a\":", count: 10_000), says: "unknown key"),
    HostileHeader("a string that does not end", #"{"a"#, data: 0, says: "does not end"),
    HostileHeader("a string that ends in a backslash", #"{"a\"#, data: 0, says: "does not end"),
    HostileHeader("a line break in a string", "{\"a\n\":\(one)}", says: "control character"),
    HostileHeader("an unknown escape", #"{"\x":\#(one)}"#, says: "unknown escape"),
    HostileHeader("half a surrogate pair", #"{"\ud800":\#(one)}"#, says: "surrogate"),
    HostileHeader("a low surrogate alone", #"{"\udc00":\#(one)}"#, says: "surrogate"),
    HostileHeader("a wrong low surrogate", #"{"\ud800\u0041":\#(one)}"#, says: "surrogate"),
    HostileHeader("a cut escape", #"{"\u00"#, data: 0, says: "does not end"),
    HostileHeader("an escape that is not hexadecimal", #"{"\u00g0":\#(one)}"#, says: "wrong \\u escape"),
    HostileHeader(
      "not UTF-8", bytes: safetensorsBytes([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x7d], data: []), says: "UTF-8"),
    HostileHeader(
      "overlong UTF-8", bytes: safetensorsBytes([0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x7d], data: []), says: "UTF-8"
    ),
    // Keys.
    HostileHeader("a tensor twice", #"{"a":\#(one),"a":\#(one)}"#, says: "appears twice"),
    HostileHeader("a tensor twice, once escaped", #"{"a":\#(one),"\u0061":\#(one)}"#, says: "appears twice"),
    HostileHeader(
      "names equal but for composition", #"{"\u00e9":\#(one),"e\u0301":\#(one)}"#, says: "appears twice"
    ),
    HostileHeader(
      "metadata twice", #"{"__metadata__":{},"__metadata__":{}}"#, data: 0, says: "appears twice"),
    HostileHeader(
      "a metadata key twice", #"{"__metadata__":{"a":"","a":""}}"#, data: 0, says: "appears twice"),
    HostileHeader(
      "metadata that is a number", #"{"__metadata__":{"a":1}}"#, data: 0, says: "expected a string"),
    HostileHeader(
      "a tensor's key twice", #"{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
      says: "second or unknown key"),
    HostileHeader(
      "an unknown key", #"{"a":{"dtype":"F32","strides":[1],"shape":[1],"data_offsets":[0,4]}}"#,
      says: "second or unknown key"),
    HostileHeader("no type", #"{"a":{"shape":[1],"data_offsets":[0,4]}}"#, says: "lacks"),
    HostileHeader("no shape", #"{"a":{"dtype":"F32","data_offsets":[0,4]}}"#, says: "lacks"),
    HostileHeader("no offsets", #"{"a":{"dtype":"F32","shape":[1]}}"#, says: "lacks"),
    HostileHeader("an empty tensor", #"{"a":{}}"#, says: "lacks"),
    // Values.
    HostileHeader("an unknown type", #"{"a":\#(tensor("F31", "[1]", "[0,4]"))}"#, says: "F31, which cannot"),
    HostileHeader("a type in lower case", #"{"a":\#(tensor("f32", "[1]", "[0,4]"))}"#, says: "unknown dtype"),
    HostileHeader("a negative dimension", #"{"a":\#(tensor("F32", "[-1]", "[0,4]"))}"#, says: "not negative"),
    HostileHeader("a fraction", #"{"a":\#(tensor("F32", "[1.0]", "[0,4]"))}"#, says: "expected ]"),
    HostileHeader("an exponent", #"{"a":\#(tensor("F32", "[1e0]", "[0,4]"))}"#, says: "expected ]"),
    HostileHeader("a leading zero", #"{"a":\#(tensor("F32", "[01]", "[0,4]"))}"#, says: "starts with 0"),
    HostileHeader(
      "a dimension as text", #"{"a":\#(tensor("F32", "[\"1\"]", "[0,4]"))}"#, says: "whole number"),
    HostileHeader(
      "a dimension of 2^64", #"{"a":\#(tensor("F32", "[18446744073709551616]", "[0,4]"))}"#, says: "too large"
    ),
    HostileHeader(
      "a product that overflows", #"{"a":\#(tensor("F32", "[4294967296,4294967296,4]", "[0,4]"))}"#,
      says: "overflows"),
    HostileHeader(
      "a product that overflows but for a zero before it",
      #"{"a":\#(tensor("F32", "[0,4294967296,4294967296]", "[0,0]"))}"#, data: 0, says: "overflows"),
    HostileHeader(
      "a size in bytes that overflows", #"{"a":\#(tensor("F32", "[4611686018427387905]", "[0,4]"))}"#,
      says: "spans"),
    HostileHeader(
      "nine dimensions", #"{"a":\#(tensor("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"))}"#, says: "8 dim"),
    HostileHeader("one offset", #"{"a":\#(tensor("F32", "[1]", "[0]"))}"#, says: "two data_offsets"),
    HostileHeader("three offsets", #"{"a":\#(tensor("F32", "[1]", "[0,4,4]"))}"#, says: "2 data_offsets"),
    HostileHeader(
      "offsets in reverse", #"{"a":\#(tensor("F32", "[1]", "[4,0]"))}"#, says: "before it begins"),
    HostileHeader(
      "a shape too large for its span", #"{"a":\#(tensor("F32", "[2]", "[0,4]"))}"#, says: "spans 4"),
    HostileHeader(
      "a shape too small for its span", #"{"a":\#(tensor("F16", "[1]", "[0,4]"))}"#, says: "spans 4"),
    // Layout.
    HostileHeader("a hole at the start", #"{"a":\#(tensor("F32", "[1]", "[4,8]"))}"#, data: 8, says: "hole"),
    HostileHeader(
      "a hole between", #"{"a":\#(one),"b":\#(tensor("F32", "[1]", "[8,12]"))}"#, data: 12, says: "hole"),
    HostileHeader("two tensors in one place", #"{"a":\#(one),"b":\#(one)}"#, says: "overlaps"),
    HostileHeader(
      "an overlap", #"{"a":\#(one),"b":\#(tensor("F32", "[1]", "[2,6]"))}"#, data: 6, says: "overlaps"),
    HostileHeader("bytes after the last tensor", #"{"a":\#(one)}"#, data: 5, says: "follow the last tensor"),
    HostileHeader("bytes and no tensor", "{}", data: 1, says: "follow the last tensor"),
    HostileHeader("a tensor beyond the file", #"{"a":\#(one)}"#, data: 3, says: "truncated"),
    HostileHeader(
      "a tensor beyond any file",
      #"{"a":\#(tensor("U8", "[9223372036854775807]", "[0,9223372036854775807]"))}"#,
      says: "truncated"),
  ]
}

@Suite("Checkpoint safetensors headers")
struct CheckpointSafetensorsHeaderTests {
  @Test("Each rule of the format is enforced", arguments: HostileHeader.all)
  func hostile(header: HostileHeader) throws {
    let folder = try TemporaryFolder()
    let path = try folder.file("hostile.safetensors", header.bytes)
    let error = checkpointError { _ = try SafetensorsFile(path: path) }
    let text = try #require(error).description
    #expect(text.contains(header.says), "\(text)")
    #expect(text.contains(path.string))
  }

  @Test(
    "What the format allows is read",
    arguments: [
      ("{}", 0), ("{}   ", 0), (#"{"__metadata__":{}}"#, 0),
      (#"{ "a" : {"shape":[ ],"dtype":"F32", "data_offsets":[0 ,4] } }"#, 4),
      (#"{"a":{"dtype":"F32","shape":[0,5],"data_offsets":[0,0]}}"#, 0),
      (#"{"a":{"dtype":"BOOL","shape":[1,1,1,1,1,1,1,3],"data_offsets":[0,3]}}"#, 3),
      (
        #"{"b":{"dtype":"U8","shape":[3],"data_offsets":[2,5]},"z":{"dtype":"I8","shape":[0],"#
          + #""data_offsets":[2,2]},"a":{"dtype":"I16","shape":[1],"data_offsets":[0,2]}}"#, 5
      ),
    ])
  func sound(header: String, data: Int) throws {
    let folder = try TemporaryFolder()
    let file = try SafetensorsFile(path: folder.file("sound", safetensorsBytes(header, data: data)))
    let sizes = try file.names.map { try file.withRawBytes($0) { $0.count } }
    #expect(sizes.reduce(0, +) == data)
  }

  @Test("Escapes in names are understood")
  func escapes() throws {
    let folder = try TemporaryFolder()
    let header = #"{"__metadata__":{"\"\\\/\b\f\n\r\t\u00e9\ud83c\udf31":"é🌱"}}"#
    let file = try SafetensorsFile(path: folder.file("escapes", safetensorsBytes(header, data: 0)))
    #expect(file.metadata == ["\"\\/\u{8}\u{c}\n\r\té🌱": "é🌱"])
  }

  @Test("More tensors than the limit are refused, the limit is not")
  func tensorCount() throws {
    let folder = try TemporaryFolder()
    let limit = Safetensors.maximumTensors
    for count in [limit, limit + 1] {
      let entries = (0..<count).map { #""\#($0)":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"# }
      let path = try folder.file(
        "many", safetensorsBytes("{\(entries.joined(separator: ","))}", data: 0))
      if count == limit {
        #expect(try SafetensorsFile(path: path).tensors.count == limit)
      } else {
        let error = checkpointError { _ = try SafetensorsFile(path: path) }
        #expect(error?.description.contains("more than \(limit) tensors") == true)
      }
    }
  }

  @Test("A file cut at any byte is refused, and so is one with a byte more")
  func truncation() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("whole")
    try Safetensors.write(
      [("weight", [2, 2], [1, 2, 3, 4]), ("bias", [2], [5, 6])], metadata: ["format": "pt"], to: path)
    let whole = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path.string)))
    for count in 1..<whole.count {
      let cut = try folder.file("cut", Array(whole.prefix(count)))
      let error = checkpointError { _ = try SafetensorsFile(path: cut) }
      guard case .truncated(_, let needed, let actual) = error else {
        Issue.record("\(count) of \(whole.count) bytes: \(String(describing: error))")
        continue
      }
      #expect(actual == count && needed > count && needed <= whole.count)
    }
    let longer = try folder.file("longer", whole + [0])
    #expect(throws: CheckpointError.self) { _ = try SafetensorsFile(path: longer) }
  }

  @Test("A changed byte of the header never crashes")
  func mutation() throws {
    let folder = try TemporaryFolder()
    let header = #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#
    let bytes = safetensorsBytes(header, data: 4)
    for index in bytes.indices {
      for value: UInt8 in [0, 9, 0x22, 0x2c, 0x30, 0x39, 0x5b, 0x5c, 0x5d, 0x7b, 0x7d, 0x80, 0xff] {
        var changed = bytes
        changed[index] = value
        let path = try folder.file("changed", changed)
        guard let file = try? SafetensorsFile(path: path) else { continue }
        for name in file.names { _ = try file.withRawBytes(name) { $0.reduce(0) { $0 &+ Int($1) } } }
      }
    }
  }

  @Test("What is not a regular file is refused without reading it")
  func irregular() throws {
    let folder = try TemporaryFolder()
    #expect(
      checkpointError { _ = try SafetensorsFile(path: "/dev/zero") }
        == .unreadable(path: "/dev/zero", reason: "it is not a regular file"))
    let pipe = folder.file("pipe")
    #expect(mkfifo(pipe.string, 0o600) == 0)
    #expect(
      checkpointError { _ = try SafetensorsFile(path: pipe) }
        == .unreadable(path: pipe, reason: "it is not a regular file"))
    let absent = folder.file("absent")
    #expect(checkpointError { _ = try SafetensorsFile(path: absent) } == .missingFile(path: absent))
  }

  @Test("Terminal escapes in a hostile name are not printed")
  func printing() throws {
    let folder = try TemporaryFolder()
    let header = #"{"\u001b[2J":{}}"#
    let path = try folder.file("escape", safetensorsBytes(header, data: 0))
    let error = checkpointError { _ = try SafetensorsFile(path: path) }
    let text = try #require(error).description
    #expect(!text.contains("\u{1b}") && text.contains("\\u{1b}[2J"))
  }
}
