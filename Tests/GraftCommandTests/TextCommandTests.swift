import Foundation
import Graft
import Testing

/// Names of classes and files in any spelling, and with what would steer a terminal.
@Suite(.enabled(if: Command.isBuilt)) struct TextCommandTests {
  private let composed = "caf\u{e9}"
  private let decomposed = "cafe\u{301}"

  /// A zip from a Mac has accents as two characters; beside a class that sorts between the two, labels move.
  @Test func spellingsOfANameAreOneClass() async throws {
    let folder = try TestFolder()
    try folder.writeData("data", classes: [composed, "cafz"], train: 8)
    try FileManager.default.copyItem(atPath: folder.path + "/data", toPath: folder.path + "/mac")
    for part in ["train", "val"] {
      // Foundation would compose the name.
      let moved = try await Command.shell(
        "mv mac/\(part)/$'caf\\xc3\\xa9' mac/\(part)/$'cafe\\xcc\\x81'", in: folder)
      #expect(moved.status == 0)
    }
    let trained = try await Command.train(
      folder.path + "/data", folder.path + "/run", "linear", ["--epochs", "10", "--batch-size", "8"])
    #expect(trained.status == 0, "\(trained.errors)")
    func evaluated(_ data: String) async throws -> [String: JSONValue] {
      let outcome = try await Command.run(
        ["eval", "--model", folder.path + "/run", "--data", folder.path + "/" + data, "--json"])
      #expect(outcome.status == 0, "\(outcome.errors)")
      return outcome.last
    }
    let (own, other) = (try await evaluated("data"), try await evaluated("mac"))
    #expect(own["loss"] == other["loss"] && own["top1"] == other["top1"] && own["top1"] != 0.5)
    // Validation in the other spelling.
    let mixed = try await Command.shell(
      "rm -r data/val; mv mac/val data/val; \"$GRAFT\" \(shortTraining) --out mixed", in: folder)
    #expect(mixed.status == 0, "\(mixed.errors)")
  }

  @Test func twoSpellingsInOneFolderAreNamed() async throws {
    let folder = try TestFolder()
    try folder.writeData("data", classes: [composed, "tea"])
    let outcome = try await Command.shell(
      "for p in train val; do cp -r data/$p/tea data/$p/$'cafe\\xcc\\x81'; done; \"$GRAFT\" \(shortTraining) --out run --json",
      in: folder)
    #expect(outcome.status == 65 && outcome.isError("spell the same name in two ways"), "\(outcome.errors)")
    #expect(outcome.isError(#"caf\u{e9}"#) && outcome.isError(#"cafe\u{301}"#), "\(outcome.errors)")
  }

  @Test func whatWouldSteerATerminalIsEscaped() async throws {
    let folder = try TestFolder()
    let names = [
      "esc\u{1B}[31mred\u{9B}1m\u{85}\u{2028}", "new\nline", "right\u{202E}tfel", "🐈\u{200D}⬛ cat",
    ]
    try folder.writeData("data", classes: names)
    try folder.write([], to: "data/train/\(names[0])/x\u{1B}]0;title\u{07}.png")
    let trained = try await Command.shell(
      "\"$GRAFT\" \(shortTraining) --out $'r\\e[2Jun' --skip-broken", in: folder)
    #expect(trained.status == 0, "\(trained.errors)")
    let refused = try await Command.shell("\"$GRAFT\" \(shortTraining) --out other", in: folder)
    #expect(refused.status == 65)
    let picture = "data/val/\(names[1])/0.png"
    let predicted = try await Command.run(
      ["predict", "--model", folder.path + "/r\u{1B}[2Jun", "--top", "4", folder.path + "/" + picture])
    #expect(predicted.status == 0, "\(predicted.errors)")
    let wrong = try await Command.run([
      "predict", "--model", "/nothing\u{1B}[2J", "--device", "\u{9B}31m", "x\u{1B}c",
    ])
    let bad = try await Command.run(["predict", "--nonsense\u{1B}[2J"])
    let unknown = try await Command.run(["info", "--backbone", "vit\u{1B}[2J", "--adapter", "a\u{1B}[2J"])
    for outcome in [trained, refused, predicted, wrong, bad, unknown] {
      for text in [outcome.output, outcome.errors] {
        let steering = text.unicodeScalars.filter {
          ($0.properties.generalCategory == .control && $0 != "\n") || $0 == "\u{202E}"
        }
        #expect(steering.isEmpty, "\(text.debugDescription)")
      }
    }
    #expect(predicted.output.contains(#"esc\u{1b}[31mred"#) && predicted.output.contains("🐈\u{200D}⬛ cat"))
    #expect(predicted.output.split(separator: "\n").count == 1)
    // JSON is exact.
    let exact = try await Command.run(
      [
        "predict", "--model", folder.path + "/r\u{1B}[2Jun", "--top", "4", "--json",
        folder.path + "/" + picture,
      ])
    let steering = exact.output.unicodeScalars.filter {
      $0.properties.generalCategory == .control && $0 != "\n"
    }
    #expect(steering.isEmpty && !exact.output.contains("\u{2028}") && exact.output.contains(#"\u009b"#))
    let line = exact.lines.first ?? nil
    #expect(line?["image"]?.stringValue == folder.path + "/" + picture)
    let classes = line?["predictions"]?.arrayValue?.compactMap { $0.objectValue?["class"]?.stringValue } ?? []
    #expect(Set(classes) == Set(names))
  }
}
