import Foundation
import Graft
import Testing

/// Every message's advice can be followed on the verb that gives it.
@Suite(.enabled(if: Command.isBuilt)) struct AdviceCommandTests {
  @Test func goodPicturesAreAnsweredAndBrokenOnesNamed() async throws {
    let folder = try await TestFolder.trained()
    try folder.write([], to: "empty.png")
    try folder.write(Array("GIF89a".utf8), to: "gif.jpg")
    let images = "data/val/red/0.png empty.png data/val/green/0.png gif.jpg none.png data/val/blue/0.png"
    for size in [1, 2, 16] {
      let outcome = try await Command.shell(
        "\"$GRAFT\" predict --model run --json --batch-size \(size) \(images)", in: folder)
      #expect(outcome.status == 65, "\(outcome.errors)")
      let events = outcome.answers.map { [$0?["event"]?.stringValue, $0?["image"]?.stringValue] }
      #expect(
        events.dropLast() == [
          ["prediction", "data/val/red/0.png"], ["broken", "empty.png"],
          ["prediction", "data/val/green/0.png"],
          ["broken", "gif.jpg"], ["broken", "none.png"], ["prediction", "data/val/blue/0.png"],
        ])
      #expect(
        outcome.isError("3 of 6 pictures") && outcome.last["images"] == 3 && outcome.last["broken"] == 3)
    }
    let text = try await Command.shell("\"$GRAFT\" predict --model run \(images)", in: folder)
    #expect(text.status == 65 && text.output.split(separator: "\n").count == 3)
    for name in ["empty.png", "gif.jpg", "none.png"] { #expect(text.errors.contains("Error: \(name)")) }
    // It has no option to skip them, and does not advise one.
    #expect(!text.errors.contains("skip"), "\(text.errors)")
  }

  @Test func foldersAreAnsweredPictureByPicture() async throws {
    let folder = try await TestFolder.trained()
    try folder.write([], to: "holiday/a/broken.png")
    try folder.write(folder.bytes("data/val/red/0.png"), to: "holiday/b.png")
    try folder.write(folder.bytes("data/val/blue/0.png"), to: "holiday/a/z.png")
    try folder.write(Array("text".utf8), to: "none/notes.txt")
    for size in [1, 16] {
      let outcome = try await Command.shell(
        "\"$GRAFT\" predict --model run --json --batch-size \(size) data/val/green/0.png holiday none holiday/b.png",
        in: folder)
      #expect(outcome.status == 65, "\(outcome.errors)")
      let events = outcome.answers.map { [$0?["event"]?.stringValue, $0?["image"]?.stringValue] }
      #expect(
        events.dropLast() == [
          ["prediction", "data/val/green/0.png"], ["prediction", "holiday/b.png"],
          ["broken", "holiday/a/broken.png"], ["prediction", "holiday/a/z.png"], ["broken", "none"],
          ["prediction", "holiday/b.png"],
        ])
      #expect(outcome.isError("2 of 6 pictures") && outcome.last["images"] == 4)
    }
    let good = try await Command.shell(
      "\"$GRAFT\" predict --model run --json --scaled-decoding data/val", in: folder)
    #expect(good.status == 0 && good.last["images"] == 9)
  }

  @Test func skippingIsAdvisedWhereItIsOffered() async throws {
    let folder = try await TestFolder.trained()
    try folder.write([], to: "data/train/red/broken.png")
    try folder.write([], to: "data/val/red/broken.png")
    for verb in [
      "\(shortTraining) --out run2", "eval --model run --data data",
      "compare --backbone \"$BACKBONE\" --heads 4 --image-size 48 --data data --adapters linear --seeds 1 --epochs 1 "
        + "--batch-size 6 --out compared",
    ] {
      let refused = try await Command.shell("\"$GRAFT\" \(verb)", in: folder)
      #expect(refused.status == 65 && refused.errors.contains("--skip-broken"), "\(verb): \(refused.errors)")
      let advised = try await Command.shell("\"$GRAFT\" \(verb) --skip-broken", in: folder)
      #expect(advised.status == 0, "\(verb): \(advised.errors)")
    }
  }

  /// A lack of open files is no fault of the picture that is next: it is never left out for it.
  @Test func aLackOfOpenFilesIsNoBrokenPicture() async throws {
    let folder = try await TestFolder.trained()
    // With fewer than six, Swift's own runtime cannot start; PoCL 6.0 holds one more.
    let least = try Device.select().traits.driverVersion.hasPrefix("6.") ? 7 : 6
    for limit in least...14 {
      let outcome = try await Command.shell(
        "ulimit -n \(limit); \"$GRAFT\" \(shortTraining) --skip-broken --out run\(limit)", in: folder)
      #expect(!outcome.crashed && !outcome.errors.contains("Skipped"), "\(limit): \(outcome.errors)")
      #expect(outcome.status == 0 || !outcome.errors.isEmpty, "\(limit): \(outcome.status)")
    }
  }

  @Test func aMovedRunFindsItsBackbone() async throws {
    let folder = try TestFolder()
    try folder.writeData("data")
    let made = try await Command.shell(
      """
      mkdir first; cp "$BACKBONE" first/vit.safetensors; cd first
      "$GRAFT" train --backbone vit.safetensors --heads 4 --image-size 48 --data ../data --adapter linear --epochs 1 \
        --batch-size 6 --out run
      """, in: folder)
    #expect(made.status == 0, "\(made.errors)")
    func predict(_ options: String, from place: String = ".") async throws -> Command.Outcome {
      try await Command.shell(
        "cd \(place); \"$GRAFT\" predict --json \(options) \"$FOLDER/data/val/red/0.png\"", in: folder)
    }
    // From another folder, though the path was relative.
    #expect(try await predict("--model first/run").status == 0)
    // Moved with its backbone, beside it and in it.
    _ = try await Command.shell("mv first second", in: folder)
    #expect(try await predict("--model second/run").status == 0)
    #expect(try await predict("--model .", from: "second/run").status == 0)
    _ = try await Command.shell(
      "mkdir third; mv second/run third/run; cp second/vit.safetensors third/run/", in: folder)
    #expect(try await predict("--model third/run").status == 0)
    // Alone: the message says what to do, and that works.
    _ = try await Command.shell("rm third/run/vit.safetensors", in: folder)
    let lost = try await predict("--model third/run")
    #expect(lost.status == 65 && lost.isError("/first/vit.safetensors") && lost.isError("--backbone FILE"))
    #expect(try await predict("--model third/run --backbone second/vit.safetensors").status == 0)
    // Another file of that name is not taken for it.
    let wrong = try await Command.shell(
      """
      "$GRAFT" merge --model third/run --backbone second/vit.safetensors --out other.safetensors
      "$GRAFT" train --backbone second/vit.safetensors --heads 4 --image-size 48 --data data --adapter bitfit --epochs 1 \
        --batch-size 6 --out bitfit && "$GRAFT" merge --model bitfit --out third/vit.safetensors || exit 1
      "$GRAFT" predict --json --model third/run data/val/red/0.png; [ $? = 65 ] || exit 2
      mkdir first; cp third/vit.safetensors first/; cp second/vit.safetensors third/run/
      "$GRAFT" predict --json --model third/run data/val/red/0.png
      """, in: folder)
    #expect(wrong.status == 0, "\(wrong.status) \(wrong.errors)")
    #expect(wrong.errors.contains("another backbone") && wrong.errors.contains("--backbone FILE"))
  }

  @Test func mergingNeverOverwritesAnAdapter() async throws {
    let folder = try await TestFolder.trained()
    for name in ["adapter_model.safetensors", "adapter_config.json", "checkpoint.safetensors"] {
      let before = try folder.bytes("run/\(name)")
      let outcome = try await Command.run(
        ["merge", "--model", folder.path + "/run", "--out", folder.path + "/run/\(name)", "--json"])
      #expect(outcome.status == 73 && outcome.isError("the adapter in that folder"), "\(outcome.errors)")
      #expect(try folder.bytes("run/\(name)") == before)
    }
    let beside = try await Command.run(
      ["merge", "--model", folder.path + "/run", "--out", folder.path + "/run/merged.safetensors", "--json"])
    #expect(beside.status == 0, "\(beside.errors)")
  }

  /// PEFT's folders say nothing of their backbone: what is assumed is said, and can be said otherwise.
  @Test func whatAFolderOfPEFTsAssumesIsSaid() async throws {
    let folder = try TestFolder()
    try folder.writeData("data")
    let predict =
      "\"$GRAFT\" predict --json --model '\(Command.checkout)/Tests/Fixtures/peft/timm' --backbone \"$BACKBONE\" "
      + "data/val/red/0.png "
    let plain = try await Command.shell(predict + "--heads 4", in: folder)
    #expect(plain.status == 0, "\(plain.errors)")
    #expect(plain.errors.contains("Assumed: ") && plain.errors.contains("--normalization"), "\(plain.errors)")
    let said = try await Command.shell(
      predict + "--heads 4 --epsilon 1e-5 --normalization imagenet", in: folder)
    #expect(said.status == 0 && !said.errors.contains("--normalization"), "\(said.errors)")
    func logits(_ outcome: Command.Outcome) -> JSONValue? { outcome.lines.compactMap { $0?["logits"] }.first }
    #expect(logits(plain) != logits(said))
    let own = try await TestFolder.trained()
    let refused = try await Command.shell(
      "\"$GRAFT\" predict --json --model run --heads 2 data/val/red/0.png", in: own)
    #expect(refused.status == 64 && refused.isError("records them itself"), "\(refused.errors)")
  }
}
