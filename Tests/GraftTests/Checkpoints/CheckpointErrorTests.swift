import Testing

@testable import Graft

@Suite("Checkpoint errors")
struct CheckpointErrorTests {
  @Test(
    "Each says where, what, and what matters",
    arguments: [
      (CheckpointError.missingFile(path: "/f"), ["no such file"]),
      (.unreadable(path: "/f", reason: "Permission denied"), ["Permission denied"]),
      (.notWeights(path: "/f", reason: "why"), ["why"]),
      (.notWeights(path: "/f", reason: "why", advice: "Do that."), ["why. Do that."]),
      (.unsupportedModel(path: "/f", tensor: "t", meaning: "Why."), ["its tensor t tells: Why."]),
      (.unsupportedModel(path: "/f", tensor: "t", isThere: false, meaning: "Why."), ["no tensor t: Why."]),
      (
        .unknownNames(path: "/f", dialect: "timm", missing: ["a"], unexpected: ["b"]),
        ["names of timm (missing: a; unexpected: b)"]
      ),
      (
        .noPlace(path: "/f", tensor: "t", reason: "why"), ["cannot hold the changed t: why. Keep the adapter"]
      ),
      (.truncated(path: "/f", neededBytes: 10, actualBytes: 9), ["10 bytes", "has 9"]),
      (.malformedHeader(path: "/f", detail: "why"), ["why"]),
      (.malformedFile(path: "/f", detail: "why"), ["why. Download"]),
      (
        .tensorMismatch(
          path: "/f", missing: (1...7).map { "m\($0)" }, unexpected: ["u"],
          misshapen: [.init(name: "s", expected: [1], actual: [2])]),
        ["missing: m1, m2, m3, m4, m5 and 2 more", "unexpected: u", "s is [2], expected [1]"]
      ),
      (.unsupportedType(path: "/f", tensor: "t", type: "I64", wanted: "floats"), ["t", "I64", "floats"]),
      (.nonFinite(path: "/f", tensor: "t", index: 3), ["t", "element 3"]),
      (.wrongBackbone(path: "/f", expectedHash: "aa", actualHash: "bb"), ["trained on aa", "is bb"]),
      (.wrongWidth(path: "/f", expected: 384, actual: 768), ["384", "768"]),
      (.malformedManifest(path: "/f", detail: "why"), ["why"]),
      (.unsupportedFormat(path: "/f", version: 2, supported: 1), ["format_version 2", "reads 1"]),
      (.cannotWrite(path: "/f", reason: "No space left on device"), ["No space left", "free space"]),
    ])
  func description(error: CheckpointError, parts: [String]) {
    let text = error.description
    #expect(text.hasPrefix("/f: ") && (text.hasSuffix(".") || text.hasSuffix("?")))
    for part in parts { #expect(text.contains(part), "\(text)") }
  }
}
