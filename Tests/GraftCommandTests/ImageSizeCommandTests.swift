import Foundation
import Graft
import Testing

/// Images of 32 rows of 48 pixels, from training to the merged file.
@Suite(.serialized, .enabled(if: Command.isBuilt, "build the command first: swift build --product graft"))
struct ImageSizeCommandTests {
  @Test func trainsEvaluatesPredictsAndMerges() async throws {
    let folder = try TestFolder()
    try folder.writeData("data")
    let (data, out) = (folder.path + "/data", folder.path + "/run")
    let options = ["--epochs", "6", "--batch-size", "6"]
    let train = try await Command.train(data, out, "alore", options, imageSize: "32x48")
    #expect(train.status == 0 && train.last["image_size"] == [32, 48], "\(train.errors)")
    #expect(train.last["top1"] == 1)
    let planned = train.lines.compactMap { $0?["event"] == "memory" ? $0?["peak_bytes"]?.doubleValue : nil }
    let ratio = (planned.first ?? 0) / (train.last["peak_device_bytes"]?.doubleValue ?? 1)
    #expect(planned.count == 1 && abs(ratio - 1) < 0.02, "\(ratio)")
    let turned = try await Command.train(data, out, "alore", options + ["--resume"], imageSize: "48x32")
    #expect(turned.status == 64 && turned.isError("the image size"), "\(turned.errors)")

    let merged = folder.path + "/merged.safetensors"
    let merge = try await Command.run(["merge", "--model", out, "--out", merged, "--json"])
    #expect((merge.last["relative_difference"]?.doubleValue ?? 1) < 1e-5, "\(merge.errors)")
    let image = data + "/val/red/0.png"
    for model in [out, merged] {
      let evaluated = try await Command.run(["eval", "--model", model, "--data", data, "--json"])
      #expect(evaluated.status == 0 && evaluated.last["top1"] == 1, "\(evaluated.errors)")
      let predicted = try await Command.run(["predict", "--model", model, image])
      #expect(predicted.output.contains("\(image): red "), "\(predicted.errors)")
    }
  }

  /// Kept features change nothing, and serve images of their own size alone.
  @Test func featuresAreKept() async throws {
    let folder = try TestFolder()
    try folder.writeData("data", train: 4, val: 2)
    func train(_ out: String, _ size: String, keeping cache: String) async throws -> Data {
      let outcome = try await Command.train(
        folder.path + "/data", folder.path + "/" + out, "linear",
        ["--epochs", "2", "--batch-size", "6", "--cache-features", cache], imageSize: size)
      #expect(outcome.status == 0, "\(outcome.errors)")
      return try folder.bytes(out + "/adapter_model.safetensors")
    }
    let kept = folder.path + "/kept"
    for size in ["32x48", "48x32"] {
      let plain = try await train("plain" + size, size, keeping: "off")
      #expect(try await train("first" + size, size, keeping: kept) == plain)
      #expect(try await train("second" + size, size, keeping: kept) == plain)
    }
  }

  @Test func interruptedRunResumesToTheSameBytes() async throws {
    let folder = try TestFolder()
    try folder.writeData("data", train: 10, val: 1)
    let data = folder.path + "/data"
    let options = [
      "--epochs", "12", "--batch-size", "3", "--evaluate-every", "100", "--augmentation", "fgvc",
    ]
    var signals = 0
    let cut = try await Command.train(
      data, folder.path + "/cut", "alore", options, imageSize: "32x48"
    ) { process, output in
      guard signals == 0, output.contains("\"step\":13,") || output.contains("\"step\":14,") else { return }
      signals += 1
      process.interrupt()
    }
    #expect(signals == 1 && cut.status == 130, "\(cut.errors)")
    let rest = try await Command.train(
      data, folder.path + "/cut", "alore", options + ["--resume"], imageSize: "32x48")
    #expect(rest.status == 0 && rest.last["steps"] == 120, "\(rest.errors)")
    let whole = try await Command.train(data, folder.path + "/whole", "alore", options, imageSize: "32x48")
    #expect(whole.status == 0, "\(whole.errors)")
    for file in ["adapter_model.safetensors", "adapter_config.json", "metrics.jsonl"] {
      #expect(try folder.bytes("cut/" + file) == folder.bytes("whole/" + file), "\(file)")
    }
  }

  @Test func comparisonsRecordBothSides() async throws {
    let folder = try TestFolder()
    try folder.writeData("data", train: 2, val: 1)
    let (data, out) = (folder.path + "/data", folder.path + "/out")
    let options = ["--seeds", "1", "--epochs", "1", "--batch-size", "6", "--image-size"]
    let first = try await Command.compare(data, out, "linear", options + ["32x48"])
    #expect(first.status == 0, "\(first.errors)")
    #expect(try folder.text("out/results.jsonl").contains("\"image_size\":[32,48]"))
    #expect(try folder.text("out/report.html").contains("at 32x48 px"))
    let turned = try await Command.compare(data, out, "linear", options + ["48x32"])
    #expect(turned.status == 64 && turned.isError("images of 32x48 px"), "\(turned.errors)")
  }
}
