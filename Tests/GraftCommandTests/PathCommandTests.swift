import Foundation
import Graft
import Testing

/// Paths and names are bytes: what was given is what is opened.
@Suite(.enabled(if: Command.isBuilt)) struct PathCommandTests {
  /// The logits of a picture, by a script that prints JSON lines.
  private func logits(_ script: String, _ folder: TestFolder) async throws -> JSONValue? {
    let outcome = try await Command.shell(script, in: folder)
    #expect(outcome.status == 0, "\(script): \(outcome.errors)")
    return outcome.lines.compactMap { $0?["logits"] }.first
  }

  /// A link, then `..`: the kernel goes to the folder above the link's target.
  @Test func dotsAfterALinkAreTheKernels() async throws {
    let folder = try await TestFolder.trained()
    try folder.writeData("there/data", classes: ["blue", "green", "red"])
    try folder.writeData("here/data", classes: ["red", "green", "blue"])
    for (name, source) in [("there", "red"), ("here", "blue")] {
      try folder.write(folder.bytes("data/val/\(source)/0.png"), to: "\(name)/x.png")
    }
    let made = try await Command.shell("mkdir there/deep && ln -s ../there/deep here/link", in: folder)
    #expect(made.status == 0)
    let predict = "\"$GRAFT\" predict --model run --json "
    let there = try await logits(predict + "there/x.png", folder)
    let here = try await logits(predict + "here/x.png", folder)
    #expect(there != here)
    #expect(try await logits(predict + "here/link/../x.png", folder) == there)
    #expect(
      try await logits("cd here; \"$GRAFT\" predict --model ../run --json link/../x.png", folder) == there)
    // A whole training: the first losses are those of the right pictures.
    func losses(_ data: String, _ out: String) async throws -> [JSONValue] {
      let run = try await Command.shell(
        "\"$GRAFT\" \(shortTraining.replacingOccurrences(of: "--data data", with: "--data \(data)")) --out \(out) --json",
        in: folder)
      #expect(run.status == 0, "\(run.errors)")
      return run.lines.compactMap { $0?["loss"] }
    }
    let right = try await losses("there/data", "a")
    #expect(try await losses("here/link/../data", "b") == right)
    #expect(try await losses("here/data", "c") != right)
  }

  @Test func aTildeIsALetter() async throws {
    let folder = try await TestFolder.trained()
    let outcome = try await Command.shell(
      """
      mkdir home home/empty; export HOME="$PWD/home"; cp -r data '~'; cp data/val/red/0.png '~x.png'
      "$GRAFT" predict --model run '~/val/red/0.png' '~x.png' || exit 1
      "$GRAFT" \(shortTraining.replacingOccurrences(of: "--data data", with: "--data '~'")) --out '~/run' || exit 2
      [ -f ./'~'/run/adapter_config.json ] || exit 3
      [ -z "$(ls home/empty)" ] && [ ! -e home/val ] && [ ! -e home/run ]
      """, in: folder)
    #expect(outcome.status == 0, "\(outcome.status) \(outcome.errors)")
  }

  /// Latin-1 in every path that the command takes.
  @Test func namesThatAreNotUTF8AreUsedAsTheyAre() async throws {
    let folder = try await TestFolder.trained()
    let outcome = try await Command.shell(
      """
      cp "$BACKBONE" $'b-\\xe9.safetensors'; mv data $'data-\\xe9'; mv $'data-\\xe9/train/red/0.png' $'data-\\xe9/train/red/\\xe9.png'
      "$GRAFT" train --backbone $'b-\\xe9.safetensors' --heads 4 --image-size 48 --data $'data-\\xe9' --adapter linear \
        --epochs 1 --batch-size 6 --out $'run-\\xe9' || exit 1
      [ -f $'run-\\xe9/adapter_config.json' ] || exit 2
      mkdir elsewhere; cd elsewhere
      "$GRAFT" predict --model $'../run-\\xe9' --json $'../data-\\xe9/train/red/\\xe9.png' || exit 3
      "$GRAFT" merge --model $'../run-\\xe9' --out $'m-\\xe9.safetensors' && [ -f $'m-\\xe9.safetensors' ] || exit 4
      "$GRAFT" eval --model $'m-\\xe9.safetensors' --data $'../data-\\xe9' || exit 5
      "$GRAFT" info --backbone $'m-\\xe9.safetensors' --heads 4 || exit 6
      "$GRAFT" predict --model $'../run-\\xe9' $'\\xe9.png'; [ $? = 65 ]
      """, in: folder)
    #expect(outcome.status == 0, "\(outcome.status) \(outcome.errors)")
    #expect(
      outcome.errors.contains(#"Error: \xE9.png cannot be read: there is no such file"#), "\(outcome.errors)")
    #expect(outcome.output.contains(#"Saved in run-\xE9."#), "\(outcome.output)")
    // In JSON a byte that is no UTF-8 is U+10FF00 plus the byte.
    #expect(outcome.output.contains("/train/red/\u{10FFE9}.png"))
  }

  @Test func aClassIsNeverLeftOut() async throws {
    for (make, words) in [
      ("mv data/train/red away; ln -s /nowhere/red data/train/red", "data/train/red cannot be followed"),
      ("ln -s /nowhere data/train/blue/more", "data/train/blue/more cannot be followed"),
      ("mkdir data/train/cold; ln -s loop data/train/loop", "data/train/loop cannot be followed"),
    ] {
      let folder = try TestFolder()
      try folder.writeData("data")
      let outcome = try await Command.shell(
        "\(make)\n\"$GRAFT\" \(shortTraining) --out run --json", in: folder)
      #expect(outcome.status == 65 && outcome.isError(words), "\(make): \(outcome.status) \(outcome.errors)")
      #expect(!folder.exists("run/adapter_config.json"))
    }
  }

  /// A Latin-1 class folder out of an old zip archive is a class, in training and after.
  @Test func aClassOfOtherBytesIsAClass() async throws {
    let folder = try TestFolder()
    try folder.writeData("data")
    let outcome = try await Command.shell(
      """
      for part in train val; do mv data/$part/red data/$part/$'r\\xe9d'; done
      "$GRAFT" \(shortTraining) --out run --json && "$GRAFT" eval --model run --data data --json || exit 1
      "$GRAFT" predict --model run --top 3 data/val/blue/0.png
      """, in: folder)
    #expect(outcome.status == 0, "\(outcome.errors)")
    let manifest = try JSONDecoder().decode(
      AdapterManifest.self, from: folder.bytes("run/adapter_config.json"))
    #expect(manifest.classes == ["blue", "green", "r\u{10FFE9}d"])
    #expect(
      outcome.output.contains(#"r\xE9d "#) && outcome.errors.contains(#"The class r\xE9d: "#),
      "\(outcome.errors)")
  }

  @Test func otherKindsOfFilesAreCounted() async throws {
    let folder = try TestFolder()
    try folder.writeData("data")
    for name in ["a.bmp", "b.BMP", "c.tif", "notes", ".hidden.gif"] {
      try folder.write([0], to: "data/train/red/\(name)")
    }
    for name in ["d.jfif", "e.jpe"] {
      try folder.write(folder.bytes("data/val/red/0.png"), to: "data/train/red/\(name)")
    }
    let outcome = try await Command.shell("\"$GRAFT\" \(shortTraining) --out run --json", in: folder)
    #expect(outcome.status == 0, "\(outcome.errors)")
    let line =
      "Left out of data/train: 1 without an ending, 2 .bmp, 1 .tif. Graft reads JPEG, PNG and WebP files"
    #expect(outcome.errors.contains(line), "\(outcome.errors)")
    #expect(outcome.errors.contains("20 training and 9 validation images"), "\(outcome.errors)")
    let event = outcome.lines.compactMap { $0 }.first { $0["event"] == "left_out" }
    #expect(event?["endings"] == ["bmp": 2, "tif": 1, "": 1] && event?["folder"] == "data/train")
  }
}
