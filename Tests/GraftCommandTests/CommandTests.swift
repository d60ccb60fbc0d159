// swift-format-ignore-file: NeverForceUnwrap

import Foundation
import Graft
import Testing

/// The built command as people and scripts use it.
@Suite(.serialized, .enabled(if: Command.isBuilt, "build the command first: swift build --product graft"))
struct CommandTests {
  static let verbs = [
    "devices", "info", "train", "eval", "predict", "merge", "compare", "report", "bench", "tune",
    "doctor",
  ]

  // MARK: Help

  @Test(arguments: [""] + verbs)
  func helpFitsATerminal(_ verb: String) async throws {
    let help = try await Command.run((verb.isEmpty ? [] : [verb]) + ["--help"])
    #expect(help.status == 0)
    for line in help.output.split(separator: "\n") { #expect(line.count <= 80, "\(line)") }
    #expect(verb == "devices" || help.output.contains("\nEXAMPLE"))
    #expect(help.output.contains("OPTIONS:"))
    if !verb.isEmpty {
      // Lines of an example that were broken again would lose their indentation.
      let examples = help.output.split(separator: "\n").filter { $0.hasPrefix("  graft \(verb)") }
      #expect(verb == "devices" || !examples.isEmpty)
    }
  }

  @Test func helpNamesEveryStatus() async throws {
    let help = try await Command.run(["--help"]).output
    for status in ["0  ", "64", "65", "69", "70", "73", "130"] { #expect(help.contains("\n  \(status) ")) }
    for verb in Self.verbs { #expect(help.contains("\n  \(verb) ")) }
  }

  // MARK: Doctor

  @Test func doctorChecksTheDevice() async throws {
    let report = try await Command.run(["doctor", "transpose"])
    #expect(report.status == 0 && report.output.contains("right  transpose"), "\(report.errors)")
    #expect(report.output.contains("driver") && report.output.contains("All is well."))
    let lines = try await Command.run(["doctor", "transpose", "--json"])
    #expect(lines.last["wrong"] == 0 && (lines.last["checked"]?.doubleValue ?? 0) > 1)
    #expect(try await Command.run(["doctor", "teleport"]).status == 64)
  }

  /// Devices that tests run on have none, as a rule.
  @Test func doctorProbesMatrixUnits() async throws {
    let report = try await Command.run(["doctor", "--probe"])
    #expect(
      !report.crashed && (report.status == 69) == report.output.contains("none known"), "\(report.errors)")
    #expect(try await Command.run(["doctor", "--probe", "--json"]).last["event"] == "done")
    #expect(try await Command.run(["doctor", "--probe", "transpose"]).status == 64)
  }

  // MARK: Bench

  @Test func benchComparesWithAnEarlierRun() async throws {
    let folder = try TestFolder()
    let path = folder.path + "/before.jsonl"
    // The backward pass was not measured then.
    let before = """
      {"device": "another", "event": "peak"}
      {"case": "transpose 3x32x32", "event": "operation", "median_seconds": 1.5, "pass": "forward"}
      """
    try before.write(toFile: path, atomically: true, encoding: .utf8)
    let after = try await Command.run(["bench", "transpose", "--baseline", path, "--json"])
    let timed = after.lines.compactMap { $0 }.filter { $0["event"]?.stringValue == "operation" }
    #expect(Set(timed.compactMap { $0["pass"]?.stringValue }) == ["forward", "training"])
    for fields in timed {
      let speedUp = fields["baseline_speed_up"]?.doubleValue
      let now = fields["median_seconds"]?.doubleValue
      #expect(speedUp == (fields["pass"]?.stringValue == "forward" ? now.map { 1.5 / $0 } : nil))
    }
    #expect(after.errors.contains("The baseline was measured on another."))
    for (text, words) in [("", "no measurement"), ("no JSON", "not what graft bench")] {
      try text.write(toFile: path, atomically: true, encoding: .utf8)
      let refused = try await Command.run(["bench", "transpose", "--baseline", path])
      #expect(refused.status == 64 && refused.errors.contains(words))
    }
  }

  // MARK: Tune

  @Test func tuneMeasuresAndRemembers() async throws {
    let folder = try TestFolder()
    let kept = folder.path + "/kept"
    func graft(_ arguments: String..., tuning: String? = nil) async throws -> Command.Outcome {
      try await Command.run(arguments, environment: ["GRAFT_TUNING": tuning ?? kept])
    }
    func tune(_ more: String..., seconds: String = "10", tuning: String? = nil) async throws
      -> Command.Outcome
    {
      try await Command.run(
        ["tune", "--backbone", Command.backbone, "--batch-size", "1", "--time-limit", seconds] + more,
        environment: ["GRAFT_TUNING": tuning ?? kept])
    }
    let dry = try await tune("--dry-run")
    #expect(dry.status == 0 && !folder.exists("kept"), "\(dry.errors)")
    #expect(dry.output.contains("default, ms"))
    #expect(["register tile", "group items"].contains { dry.output.contains($0) })
    #expect(dry.output.contains("Nothing was remembered."))
    #expect(try await graft("devices").output.contains("tuning: default\n"))

    let lines = try await tune("--json")
    #expect(lines.status == 0 && lines.lines.allSatisfy { $0 != nil }, "\(lines.errors)")
    #expect(lines.lines.contains { $0?["event"] == "parameter" && $0?["operation"] == "matmul" })
    let path = try #require(lines.last["path"]?.stringValue)
    #expect(path.hasPrefix(kept + "/") && lines.last["tuning"]?.objectValue?.count == 2)
    #expect(try await graft("devices").output.contains("tuning: \(path), 20"))
    let whole = try Data(contentsOf: URL(fileURLWithPath: path))

    // Ctrl-C leaves the file, and status and words say so.
    var signals = 0
    let cut = try await Command.run(
      ["tune", "--backbone", "vit_tiny_patch16_224", "--json"], environment: ["GRAFT_TUNING": kept]
    ) { process, output in
      guard signals == 0, output.contains("\"start\"") else { return }
      signals += 1
      process.interrupt()
    }
    #expect(signals == 1 && cut.status == 130 && cut.last["event"] == "interrupted", "\(cut.errors)")
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == whole)

    // A damaged file is in nobody's way, is named, and is written anew.
    try Data(whole.dropLast(20)).write(to: URL(fileURLWithPath: path))
    #expect(try await graft("devices").output.contains("default; \(path) is ignored: it is no tuning"))
    let report = try await graft("doctor", "transpose")
    #expect(report.status == 0 && report.output.contains("is ignored"))
    #expect(try await tune(seconds: "0.001").output.contains("what was there is as it was"))
    #expect(try await tune().output.contains("Remembered in \(path)."))
    #expect(try await graft("devices").output.contains("tuning: \(path), 20"))
    #expect(try await graft("devices", tuning: "off").output.contains("tuning: default\n"))
    #expect(try await tune(tuning: "off").status == 64)
    for seconds in ["0", "nan", "-1", "1e9"] { #expect(try await tune(seconds: seconds).status == 64) }
  }

  // MARK: Counts

  @Test(arguments: [
    ("linear", 0, 0, [197], 17.56), ("ila", 40_496, 768, [197, 145, 101], 13.09),
    ("ila+", 173_856, 768, [197, 145, 101], 13.11), ("ila++", 354_032, 768, [197, 145, 101], 13.14),
    ("alore", 148_992, 0, [197], 17.68),
  ])
  func infoCounts(_ adapter: String, _ count: Int, _ token: Int, _ tokens: [Int], _ gmac: Double) async throws
  {
    let outcome = try await Command.run([
      "info", "--backbone", "vit_base_patch16_224", "--adapter", adapter, "--classes", "80", "--json",
    ])
    #expect(outcome.status == 0 && outcome.lines.allSatisfy { $0 != nil })
    let last = outcome.last
    #expect(last["event"] == "done")
    #expect(last["backbone_parameters"] == .integer(85_798_656))
    #expect(last["adapter_parameters"] == .integer(count))
    #expect(last["head_parameters"] == .integer(769 * 80))
    #expect(last["trainable_parameters"] == .integer(count + 769 * 80 + token))
    #expect(last["tokens"] == .array(tokens.map { .integer($0) }))
    let actual = try #require(last["gmac"]?.doubleValue)
    #expect(abs(actual - gmac) < 0.006, "\(actual)")
  }

  @Test func infoListsTheCostOfEachExit() async throws {
    let arguments = ["info", "--backbone", "vit_base_patch16_224", "--adapter", "dyn", "--host", "linear"]
    let exits = try await Command.run(arguments + ["--json"]).last["exits"]?.arrayValue ?? []
    #expect(exits.compactMap { $0.objectValue?["blocks"]?.intValue } == [3, 6, 9, 12])
    let costs = exits.compactMap { $0.objectValue?["gmac"]?.doubleValue }
    #expect(zip(costs, [4.477, 8.839, 13.201, 17.563]).allSatisfy { abs($0 - $1) < 0.0005 })
    let text = try await Command.run(arguments).output
    #expect(text.contains("block 3: 4.477, block 6: 8.839, block 9: 13.201, block 12: 17.563"))
  }

  @Test func infoPlansMemory() async throws {
    func memory(_ batch: String, _ more: [String] = []) async throws -> [String: Double] {
      let outcome = try await Command.run(
        ["info", "--backbone", "vit_tiny_patch16_224", "--adapter", "alore", "--batch-size", batch, "--json"]
          + more)
      #expect(outcome.status == 0, "\(outcome.errors)")
      let plan = outcome.last["training_memory"]?.objectValue ?? [:]
      #expect(outcome.last["inference_memory"]?.objectValue?["optimizer_bytes"]?.doubleValue == 0)
      return plan.compactMapValues(\.doubleValue)
    }
    let (two, four) = (try await memory("2"), try await memory("4"))
    #expect(two["backbone_bytes"] == four["backbone_bytes"])
    #expect(two["step_bytes"] ?? 0 < four["step_bytes"] ?? 0)
    #expect(four["peak_bytes"] == four.filter { $0.key != "peak_bytes" }.values.reduce(0, +))
    let less = try await memory("4", ["--recompute", "blocks"])
    #expect(less["step_bytes"] ?? .infinity < four["step_bytes"] ?? 0)
    let half = try await memory("4", ["--precision", "bf16"])
    #expect(half["backbone_bytes"] ?? .infinity < 0.6 * (four["backbone_bytes"] ?? 0))
    let none = try await Command.run(["info", "--backbone", "vit_tiny_patch16_224", "--batch-size", "0"])
    #expect(none.status == 64)
  }

  @Test func infoAtAnotherSize() async throws {
    let last = try await Command.run([
      "info", "--backbone", "vit_base_patch16_224", "--adapter", "ila", "--image-size", "448", "--json",
    ]).last
    #expect(last["tokens"] == [785, 677, 577])
    #expect(last["head_parameters"] == 0)
    #expect(abs((last["gmac"]?.doubleValue ?? 0) - 66.86) < 0.006)
    #expect(last["image_size"] == 448)
    let wide = try await Command.run([
      "info", "--backbone", "vit_base_patch16_224", "--adapter", "ila", "--image-size", "224x448", "--json",
    ]).last
    #expect(wide["tokens"] == [393, 313, 241] && wide["image_size"] == [224, 448])
  }

  // MARK: The main job

  /// Train, evaluate, predict, merge, and all again from the merged file.
  @Test func trainsEvaluatesPredictsAndMerges() async throws {
    let folder = try TestFolder()
    try folder.writeData("data")
    let (data, out) = (folder.path + "/data", folder.path + "/run")
    let merged = folder.path + "/merged.safetensors"
    let train = try await Command.train(data, out, "alore", ["--epochs", "6", "--batch-size", "6"])
    #expect(train.status == 0, "\(train.errors)")
    #expect(train.lines.allSatisfy { $0 != nil } && train.last["event"] == "done")
    #expect(train.lines.filter { $0?["event"] == "step" }.count == 18)
    #expect(train.lines.filter { $0?["event"] == "epoch" }.count == 6)
    let planned = train.lines.compactMap { $0?["event"] == "memory" ? $0?["peak_bytes"]?.doubleValue : nil }
    let ratio = (planned.first ?? 0) / (train.last["peak_device_bytes"]?.doubleValue ?? 1)
    #expect(planned.count == 1 && abs(ratio - 1) < 0.02, "\(ratio)")
    for field in [
      "method", "trainable_parameters", "gmac", "top1", "train_images_per_second",
      "inference_images_per_second", "peak_device_bytes",
    ] { #expect(train.last[field] != nil, "\(field)") }
    for file in [
      "adapter_config.json", "adapter_model.safetensors", "best/adapter_config.json",
      "checkpoint.safetensors",
      "metrics.jsonl",
    ] { #expect(folder.exists("run/" + file), "\(file)") }

    let evaluated = try await Command.run(["eval", "--model", out, "--data", data, "--json"])
    #expect(evaluated.status == 0 && evaluated.last["top1"] == train.last["top1"])
    let halved = try await Command.run(
      ["eval", "--model", out, "--data", data, "--precision", "bf16", "--json"])
    #expect(halved.status == 0 && halved.last["top1"] == train.last["top1"])
    let (half, full) = (halved.last["peak_device_bytes"], evaluated.last["peak_device_bytes"])
    #expect((half?.doubleValue ?? .infinity) < (full?.doubleValue ?? 0))
    let unknown = try await Command.run(
      ["eval", "--model", out, "--data", data, "--precision", "int4", "--json"])
    #expect(unknown.status == 64 && unknown.isError("bf16"), "\(unknown.errors)")

    let image = data + "/val/red/0.png"
    let predicted = try await Command.run(["predict", "--model", out, "--json", image, image])
    #expect(predicted.status == 0 && predicted.answers.count == 3)
    let first = predicted.answers[0]?["predictions"]?.arrayValue ?? []
    #expect(first.count == 3)
    #expect(abs(first.compactMap { $0.objectValue?["probability"]?.doubleValue }.reduce(0, +) - 1) < 1e-5)

    let merge = try await Command.run(["merge", "--model", out, "--out", merged, "--json"])
    #expect(merge.status == 0)
    #expect((merge.last["relative_difference"]?.doubleValue ?? 1) < 1e-5)
    let again = try await Command.run(["eval", "--model", merged, "--data", data, "--json"])
    #expect(again.status == 0 && again.last["top1"] == train.last["top1"])
    let named = try await Command.run(["predict", "--model", merged, image])
    let best = first.first?.objectValue?["class"]?.stringValue ?? "?"
    #expect(named.status == 0 && named.output.contains("\(image): \(best) "))

    // A finished folder is not overwritten by accident, and resuming it changes nothing.
    let kept = try folder.bytes("run/adapter_model.safetensors")
    let second = try await Command.train(data, out, "alore", ["--epochs", "6", "--batch-size", "6"])
    #expect(second.status == 73 && second.isError("--resume"))
    let other = try await Command.train(
      data, out, "alore", ["--epochs", "7", "--batch-size", "6", "--resume"])
    #expect(other.status == 64 && other.isError("recipe"))
    let seed = try await Command.train(
      data, out, "alore", ["--epochs", "6", "--batch-size", "6", "--resume", "--seed", "1"])
    #expect(seed.status == 64 && seed.isError("seed"))
    let adapter = try await Command.train(
      data, out, "ila", ["--epochs", "6", "--batch-size", "6", "--resume"])
    #expect(adapter.status == 64)
    #expect(try folder.bytes("run/adapter_model.safetensors") == kept)

    // Other classes.
    try folder.writeData("other", classes: ["blue", "green", "yellow"], train: 1, val: 1)
    let wrong = try await Command.run(["eval", "--model", out, "--data", folder.path + "/other", "--json"])
    #expect(wrong.status == 65 && wrong.isError("yellow") && wrong.isError("red"))

    // Another backbone, and a lost one.
    let lost = try await Command.run(
      ["eval", "--model", out, "--data", data, "--backbone", folder.path + "/lost.safetensors", "--json"])
    #expect(lost.status == 65 && lost.isError("lost.safetensors"))
    let unequal = try await Command.run(
      ["eval", "--model", out, "--data", data, "--backbone", merged, "--json"])
    #expect(unequal.status == 65 && unequal.isError("another backbone"))
    let adapted = try await Command.run(["merge", "--model", out, "--out", Command.backbone, "--json"])
    #expect(adapted.status == 73 && adapted.isError("backbone's own file"))

    // Pictures.
    for missing in [data + "/no.png", Command.backbone] {
      let outcome = try await Command.run(["predict", "--model", out, "--json", missing])
      #expect(outcome.status == 65 && outcome.isError(missing), "\(missing)")
    }
    let memory = try await Command.run(
      ["eval", "--model", out, "--data", data, "--memory-limit", "2M", "--json"])
    #expect(memory.status == 70 && memory.isError("memory"), "\(memory.errors)")
  }

  @Test func ilaIsNotMergeable() async throws {
    let folder = try TestFolder()
    try folder.writeData("data", train: 2, val: 1)
    let out = folder.path + "/run"
    let train = try await Command.train(
      folder.path + "/data", out, "ila", ["--epochs", "1", "--batch-size", "6"])
    #expect(train.status == 0, "\(train.errors)")
    let merge = try await Command.run([
      "merge", "--model", out, "--out", folder.path + "/m.safetensors", "--json",
    ])
    #expect(merge.status == 64 && merge.isError("not linear") && !folder.exists("m.safetensors"))
    // A cut file and a manifest that lies.
    let weights = try folder.bytes("run/adapter_model.safetensors")
    try folder.write(weights.dropLast(9), to: "run/adapter_model.safetensors")
    let cut = try await Command.run(
      ["eval", "--model", out, "--data", folder.path + "/data", "--json"])
    #expect(cut.status == 65 && cut.isError("adapter_model.safetensors"))
    try folder.write(Data("{}".utf8), to: "run/adapter_config.json")
    let empty = try await Command.run(
      ["eval", "--model", out, "--data", folder.path + "/data", "--json"])
    #expect(empty.status == 65 && empty.isError("adapter_config.json"))
  }

  // MARK: Features

  @Test func featuresInAFolderServeTheNextRun() async throws {
    let folder = try TestFolder()
    try folder.writeData("data", train: 4, val: 2)
    let kept = folder.path + "/kept"
    func train(_ out: String, _ more: [String]) async throws -> [String: JSONValue] {
      let outcome = try await Command.train(
        folder.path + "/data", folder.path + "/" + out, "linear",
        ["--epochs", "2", "--batch-size", "6"] + more)
      #expect(outcome.status == 0, "\(outcome.errors)")
      return outcome.lines.compactMap { $0 }.first { $0["event"]?.stringValue == "features" } ?? [:]
    }
    func files() throws -> [String] {
      try FileManager.default.subpathsOfDirectory(atPath: kept).filter { $0.hasSuffix(".safetensors") }
        .sorted()
    }
    let first = try await train("first", ["--cache-features", kept])
    // 12 images of 64 floats.
    #expect(first["blocks"] == 6 && first["bytes"] == 3072 && first["kept"] == true)
    let written = try files()
    #expect(!written.isEmpty)
    _ = try await train("second", ["--cache-features", kept])
    #expect(try files() == written)
    #expect(try await train("third", ["--cache-features", "off"]).isEmpty)
    #expect(try await train("fourth", ["--cache-limit", "2K"])["kept"] == false)
    let weights = try folder.bytes("first/adapter_model.safetensors")
    for out in ["second", "third", "fourth"] {
      #expect(try folder.bytes(out + "/adapter_model.safetensors") == weights)
    }
  }

  // MARK: Early exits

  /// Trains exits over a host, finds thresholds for a budget, keeps and uses them.
  @Test func earlyExitsKeepABudget() async throws {
    let folder = try TestFolder()
    try folder.writeData("data", train: 6, val: 8)
    let (data, out) = (folder.path + "/data", folder.path + "/run")
    let train = try await Command.train(
      data, out, "dyn",
      [
        "--host", "alore", "--set", "host.rank=2", "--set", "exits=[2,4]", "--epochs", "4", "--batch-size",
        "6",
      ])
    #expect(train.status == 0 && train.last["method"] == "dyn", "\(train.errors)")
    func eval(_ more: String...) async throws -> Command.Outcome {
      try await Command.run(["eval", "--model", out, "--data", data, "--json"] + more)
    }
    let whole = try await eval()
    #expect(whole.last["count"] == 24 && whole.last["top1"] == train.last["top1"])
    #expect(
      whole.last["mean_gmac"]?.doubleValue.map { abs($0 - whole.last["gmac"]!.doubleValue!) < 1e-9 } == true)
    let costs = try #require(whole.last["exits"]?.arrayValue).compactMap {
      $0.objectValue?["gmac"]?.doubleValue
    }
    #expect(costs.count == 3)

    let open = try await eval("--thresholds", "0").last
    #expect(open["mean_gmac"]?.doubleValue.map { abs($0 - costs[0]) < 1e-9 } == true)
    #expect(try await eval("--thresholds", "1.5,2").last["top1"] == whole.last["top1"])

    // One half finds the thresholds, the other is reported on; nothing is kept unless asked.
    let budget = "\((costs[0] + costs[1]) / 2)"
    let found = try await eval("--budget", budget)
    #expect(found.status == 0 && found.last["count"] == 12, "\(found.errors)")
    let thresholds = try #require(found.last["thresholds"]?.arrayValue)
    #expect(thresholds.count == 2)
    #expect(try await eval().last["count"] == 24)
    let apart = try await eval("--budget", budget, "--calibrate", data + "/train")
    #expect(apart.status == 0 && apart.last["count"] == 24, "\(apart.errors)")
    #expect(try await eval("--budget", budget, "--save").last["thresholds"] == .array(thresholds))
    let kept = try await eval()
    #expect(kept.last["thresholds"] == .array(thresholds) && kept.last["count"] == 12)
    #expect(kept.last["exits"] == found.last["exits"] && kept.last["top1"] == found.last["top1"])
    let exits = try #require(kept.last["exits"]?.arrayValue).compactMap(\.objectValue)
    let mean = exits.reduce(0) { $0 + Double($1["count"]!.intValue!) / 12 * $1["gmac"]!.doubleValue! }
    #expect(abs(mean - (kept.last["mean_gmac"]?.doubleValue ?? 0)) < 1e-9)
    let image = data + "/val/red/0.png"
    let predicted = try await Command.run(["predict", "--model", out, "--json", image])
    #expect([2, 4, 6].contains(predicted.answers[0]?["blocks"]?.intValue ?? 0))
    let text = try await Command.run(["eval", "--model", out, "--data", data]).output
    #expect(text.contains("after block 2") && text.contains("GMAC an image") && text.contains("one half of"))

    for (arguments, words) in [
      (["--budget", "\(costs[0] * 0.9)"], "first exit, after block 2"), (["--budget", "nan"], "budget"),
      (["--thresholds", "0.1,0.2,0.3"], "2 early exits, after blocks 2, 4"),
      (["--thresholds=-1"], "negative"),
      (["--thresholds", "a"], "separated by commas"), (["--thresholds", "1", "--budget", "1"], "not both"),
      (["--save"], "--budget"), (["--calibrate", "x"], "--budget"),
    ] {
      let outcome = try await Command.run(
        ["eval", "--model", out, "--data", "nowhere", "--json"] + arguments)
      #expect(outcome.status == 64 && outcome.isError(words), "\(arguments) \(outcome.errors)")
    }
    #expect(try await eval("--budget", "99").last["mean_gmac"] != nil)
    let merge = try await Command.run([
      "merge", "--model", out, "--out", folder.path + "/m.safetensors", "--json",
    ])
    #expect(merge.status == 64 && !folder.exists("m.safetensors"))
  }

  // MARK: Ctrl-C

  @Test func interruptedRunResumesToTheSameBytes() async throws {
    let folder = try TestFolder()
    try folder.writeData("data", train: 10, val: 1)
    let data = folder.path + "/data"
    let options = ["--epochs", "12", "--batch-size", "3", "--evaluate-every", "100"]
    var signals = 0
    let cut = try await Command.train(data, folder.path + "/cut", "ila", options) { process, output in
      // Somewhere in the middle of the second pass.
      guard signals == 0, output.contains("\"step\":13,") || output.contains("\"step\":14,") else { return }
      signals += 1
      process.interrupt()
    }
    #expect(signals == 1)
    #expect(cut.status == 130 && !cut.crashed, "\(cut.errors)")
    #expect(cut.last["event"] == "interrupted")
    let steps = cut.last["steps"]?.intValue ?? 0
    #expect((13..<120).contains(steps))
    #expect(cut.errors.contains("--resume"))
    #expect(folder.exists("cut/checkpoint.safetensors"))

    let rest = try await Command.train(data, folder.path + "/cut", "ila", options + ["--resume"])
    #expect(rest.status == 0 && rest.last["steps"] == 120, "\(rest.errors)")
    #expect(rest.lines.filter { $0?["event"] == "step" }.count == 120 - steps)
    let whole = try await Command.train(data, folder.path + "/whole", "ila", options)
    #expect(whole.status == 0)
    for file in ["adapter_model.safetensors", "adapter_config.json", "metrics.jsonl"] {
      #expect(try folder.bytes("cut/" + file) == folder.bytes("whole/" + file), "\(file)")
    }
  }

  /// PoCL keeps its workers apart, unless a user has another say.
  @Test(arguments: [nil, "0"]) func workersAreKeptApart(_ asked: String?) async throws {
    let outcome = try await Command.run(
      ["doctor", "no such operation"], environment: asked.map { ["POCL_AFFINITY": $0] } ?? [:])
    // A machine that gives these tests a part of its processors says nothing about the rest.
    guard asked != nil || Self.mayUseAllProcessors else { return }
    let expected = asked ?? ProcessInfo.processInfo.environment["POCL_AFFINITY"] ?? "1"
    #expect(outcome.output.contains("POCL_AFFINITY=\(expected)"), "\(outcome.output)")
  }

  private static var mayUseAllProcessors: Bool {
    func text(_ path: String) -> String { (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" }
    let online = text("/sys/devices/system/cpu/online").trimmingCharacters(in: .whitespacesAndNewlines)
    return !online.isEmpty && text("/proc/self/status").contains("Cpus_allowed_list:\t\(online)\n")
  }
}

extension Command {
  /// Trains on the small ViT with JSON lines.
  static func train(
    _ data: String, _ out: String, _ adapter: String, _ more: [String] = [], imageSize: String = "48",
    while running: ((_ process: Process, _ output: String) -> Void)? = nil
  ) async throws -> Outcome {
    try await run(
      [
        "train", "--backbone", backbone, "--heads", "4", "--image-size", imageSize, "--data", data,
        "--adapter",
        adapter, "--out", out, "--json",
      ] + more, while: running)
  }
}

extension Command.Outcome {
  /// Whether it ended with an error, said on standard error and in the last JSON line, that names `words`.
  func isError(_ words: String) -> Bool {
    let message = last["message"]?.stringValue ?? ""
    return !crashed && last["event"] == "error" && message.contains(words) && lines.allSatisfy { $0 != nil }
      && errors.contains("Error: ")
  }
}
