import Foundation
import Graft
import Testing

/// `graft compare` and `graft report` as people and scripts use them.
@Suite(.serialized, .enabled(if: Command.isBuilt, "build the command first: swift build --product graft"))
struct CompareCommandTests {
  static let short = ["--preset", "quick", "--epochs", "2", "--batch-size", "6"]

  // MARK: Runs

  @Test func comparesAndSkipsWhatIsFinished() async throws {
    let folder = try TestFolder()
    try folder.writeData("data")
    let (data, out) = (folder.path + "/data", folder.path + "/out")
    let options = Self.short + ["--seeds", "1,2"]
    let first = try await Command.compare(data, out, "linear,alore:rank=2", options)
    #expect(first.status == 0 && first.lines.allSatisfy { $0 != nil }, "\(first.errors)")
    #expect(first.last["event"] == "done" && first.last["runs"] == 4 && first.last["skipped"] == 0)
    let results = first.lines.compactMap { $0 }.filter { $0["event"] == "result" }
    #expect(results.map { $0["method"] } == ["linear", "linear", "alore:rank=2", "alore:rank=2"])
    #expect(results.map { $0["seed"] } == [1, 2, 1, 2])
    for field in [
      "method", "settings", "seed", "trainable_parameters", "adapter_parameters", "gmac", "top1",
      "train_images_per_second", "inference_images_per_second", "peak_device_bytes", "recipe", "device",
      "graft_version", "date", "command", "task",
    ] { #expect(results.allSatisfy { $0[field] != nil }, "\(field)") }
    #expect(
      results[2]["trainable_parameters"]?.intValue ?? 0 > results[0]["trainable_parameters"]?.intValue ?? 0)
    #expect(first.errors.components(separatedBy: "Assumed: ").count == 2, "once for all runs")
    let runs = first.lines.compactMap { $0 }.filter { $0["event"] == "run" }
    #expect(runs.map { $0["run"] } == [1, 2, 3, 4])
    let steps = first.lines.compactMap { $0 }.filter { $0["event"] == "step" }
    #expect(steps.count == 4 * 6)
    // An estimate is there from the second step on, and nothing is left at the end.
    #expect(steps.last?["seconds_left"]?.doubleValue == 0)
    #expect(steps[1]["seconds_left"]?.doubleValue ?? 0 > 0)

    // results.jsonl is what was printed.
    let kept = try folder.text("out/results.jsonl")
    let lines = try kept.split(separator: "\n").map {
      try JSONDecoder().decode(JSONValue.self, from: Data($0.utf8))
    }
    #expect(lines.map { $0.objectValue?["top1"] } == results.map { $0["top1"] })
    for name in ["linear", "alore:"] {
      #expect(try folder.text("out/report.html").contains(name))
      #expect(try folder.text("out/report.md").contains(name))
    }

    // The same again trains nothing; one more adapter and one more seed train what is missing.
    let second = try await Command.compare(data, out, "linear,alore:rank=2", options)
    #expect(second.status == 0 && second.last["skipped"] == 4, "\(second.errors)")
    #expect(!second.output.contains("\"event\":\"step\""))
    #expect(try folder.text("out/results.jsonl") == kept)
    let third = try await Command.compare(data, out, "linear,ila", Self.short + ["--seeds", "2,3"])
    #expect(third.status == 0 && third.last["runs"] == 4 && third.last["skipped"] == 1, "\(third.errors)")
    #expect(try folder.text("out/results.jsonl").hasPrefix(kept))

    // A run is the run that graft train makes.
    let alone = try await Command.train(data, folder.path + "/alone", "ila", Self.short + ["--seed", "3"])
    #expect(alone.status == 0)
    for file in ["adapter_model.safetensors", "adapter_config.json"] {
      #expect(try folder.bytes("alone/" + file) == folder.bytes("out/runs/ila-seed3/" + file))
    }

    // What cannot share the table is refused before anything is trained.
    for (more, words) in [
      (["--epochs", "3"], "another recipe"), (["--image-size", "40"], "images of 48 px"),
    ] {
      let outcome = try await Command.compare(data, out, "linear,ila++", Self.short + more)
      #expect(outcome.status == 64 && outcome.isError(words), "\(outcome.errors)")
      #expect(!outcome.output.contains("\"event\":\"run\""))
    }
    try folder.writeData("elsewhere/data", val: 2)
    let changed = try await Command.compare(folder.path + "/elsewhere/data", out, "linear", options)
    #expect(changed.status == 64 && changed.isError("other images"))
    try folder.writeData("other")
    let other = try await Command.compare(folder.path + "/other", out, "linear", options)
    #expect(other.status == 64 && other.isError("the task \"data\""))
  }

  @Test func interruptedComparisonGoesOnToTheSameBytes() async throws {
    let folder = try TestFolder()
    try folder.writeData("data", train: 10, val: 1)
    let data = folder.path + "/data"
    let options = ["--preset", "quick", "--epochs", "20", "--batch-size", "3", "--seeds", "1"]
    var signals = 0
    let cut = try await Command.compare(data, folder.path + "/cut", "linear,ila", options) {
      process, output in
      // Somewhere in the middle of the second run.
      guard signals == 0, output.contains("\"method\":\"ila\",\"run\":2,\"runs\":2,\"seconds_left\"") else {
        return
      }
      signals += 1
      process.interrupt()
    }
    #expect(signals == 1 && cut.status == 130 && !cut.crashed, "\(cut.errors)")
    #expect(cut.last["event"] == "interrupted" && cut.last["finished"] == 1)
    #expect(folder.exists("cut/runs/ila-seed1/checkpoint.safetensors"))
    let done = cut.lines.filter { $0?["event"] == "step" && $0?["method"] == "ila" }.count
    #expect((1..<200).contains(done))

    // Other settings cannot continue it, and nothing else is begun before that is found.
    let other = try await Command.compare(
      data, folder.path + "/cut", "bitfit,ila", options + ["--learning-rate", "0.5"])
    #expect(other.status == 64 && other.isError("recipe"), "\(other.errors)")
    #expect(!folder.exists("cut/runs/bitfit-seed1") && !other.errors.contains("bitfit"))

    let rest = try await Command.compare(data, folder.path + "/cut", "linear,ila", options)
    #expect(rest.status == 0 && rest.last["skipped"] == 1, "\(rest.errors)")
    #expect(rest.lines.filter { $0?["event"] == "step" }.count == 200 - done)
    let whole = try await Command.compare(data, folder.path + "/whole", "linear,ila", options)
    #expect(whole.status == 0)
    let file = "/runs/ila-seed1/adapter_model.safetensors"
    #expect(try folder.bytes("cut" + file) == folder.bytes("whole" + file))
  }

  @Test func papersPresetsAndAFailingRun() async throws {
    let folder = try TestFolder()
    try folder.writeData("data", train: 2, val: 1)
    let (data, out) = (folder.path + "/data", folder.path + "/out")
    // Each with its own preset: other images and conventions for ILA.
    let papers = try await Command.compare(
      data, out, "linear,linear,ila:locations=[1,3],kernel=3",
      ["--epochs", "1", "--batch-size", "6", "--seeds", "7"])
    let recipes = papers.lines.compactMap { $0?["recipe"]?.objectValue?["name"] }
    #expect(papers.status == 0 && recipes == ["petl", "ila"], "\(papers.errors)")
    // Named twice is there once, a setting that is the default is none, and a list is one value.
    let methods = papers.lines.compactMap { $0?["event"] == "result" ? $0?["method"] : nil }
    #expect(methods == ["linear", "ila:locations=[1,3]"])
    #expect(folder.exists("out/runs/ila:locations=%5B1,3%5D-seed7/adapter_config.json"))
    // One run diverges, the others are trained and reported.
    let failing = try await Command.compare(
      data, folder.path + "/failing", "alore,linear",
      ["--preset", "quick", "--epochs", "2", "--batch-size", "2", "--seeds", "1", "--learning-rate", "1e30"])
    #expect(failing.status == 70 && failing.last["failed"]?.intValue ?? 0 >= 1, "\(failing.errors)")
    #expect(failing.errors.contains("not finite") && failing.errors.contains("alore, seed 1"))
  }

  @Test(arguments: [
    (["--adapters", "linear,aloer"], 64, "Did you mean \"alore\"?"),
    (["--adapters", "linear,alore:rank=0"], 64, "rank = 0"),
    (["--adapters", "linear,alore:rnak=2"], 64, "experts, rank, scale"),
    (["--adapters", "rank=2,alore"], 64, "before any adapter"),
    (["--adapters", ","], 64, "no adapter"),
    (["--adapters", "linear,ila", "--image-size", "16"], 64, "larger images"),
    (["--adapters", "linear", "--seeds", "1,x"], 64, "--seeds"),
    (["--adapters", "linear", "--seeds", "1,1"], 64, "--seeds"),
    (["--adapters", "linear", "--preset", "fast"], 64, "quick, ila"),
    (["--adapters", "linear", "--evaluate-every", "0"], 64, "--evaluate-every"),
    (["--adapters", "linear", "--epochs", "0"], 64, "epochs = 0"),
    (["--adapters", "linear", "--data", "no-data"], 65, "no-data/train"),
    (["--adapters", "linear", "--backbone", "no.safetensors"], 65, "no.safetensors"),
    (["--adapters", "linear", "--out", "/proc/graft"], 73, "/proc/graft"),
  ])
  func badInput(_ arguments: [String], _ status: Int32, _ words: String) async throws {
    let folder = try TestFolder()
    try folder.writeData("data", train: 1, val: 1)
    var all = ["--backbone": Command.backbone, "--heads": "4", "--image-size": "48"]
    all["--data"] = folder.path + "/data"
    all["--out"] = folder.path + "/out"
    let defaults = all.filter { !arguments.contains($0.key) }.flatMap { [$0.key, $0.value] }
    let outcome = try await Command.run(["compare"] + arguments + defaults + ["--json"])
    #expect(outcome.status == status && outcome.isError(words), "\(outcome.output) \(outcome.errors)")
    #expect(!folder.exists("out/runs") && !outcome.output.contains("\"event\":\"run\""))
  }

  // MARK: Report

  @Test func reportOfTwoTasks() async throws {
    let folder = try TestFolder()
    let methods = ["linear", "alore", "alore:rank=8", "ila"]
    for task in ["cuts", "clothes"] { try folder.writeResults(task, task: task, methods: methods) }
    let both = folder.path + "/both"
    let outcome = try await Command.run(
      ["report", folder.path + "/cuts", folder.path + "/clothes", "--out", both])
    #expect(outcome.status == 0, "\(outcome.errors)")
    let (page, markdown) = (try folder.text("both/report.html"), try folder.text("both/report.md"))
    for text in [outcome.output, page, markdown] {
      #expect(text.contains("cuts on vit_small") && text.contains("clothes on vit_small"))
      // The mean and the standard deviation of 40, 41 and 42 percent.
      #expect(text.contains("41.0 ± 1.0"))
      // The speed of the fastest seed.
      #expect(text.contains("77.0") && !text.contains("63.3"))
    }
    for method in methods {
      #expect(page.contains("\(method)</text>") && outcome.output.contains("\n\(method) "))
    }
    #expect(page.components(separatedBy: "<tbody>").count == 3)
    #expect(page.components(separatedBy: "<svg ").count == 5)
    for needed in [
      "<caption", "scope=\"col\"", "scope=\"row\"", "prefers-color-scheme: dark",
      "<title id=\"plot-1-wide-title\"",
      "<desc id=", "aria-sort", "name=\"viewport\"", "<html lang=\"en\">", "arxiv.org/abs/2412.08341",
      "a device", "graft compare --data cuts",
    ] { #expect(page.contains(needed), "\(needed)") }
    // Nothing is loaded from anywhere.
    for loader in ["src=", "<link", "@import", "url(", "fetch("] {
      #expect(!page.contains(loader), "\(loader)")
    }

    let one = try await Command.run(["report", folder.path + "/cuts", "--json"])
    #expect(one.status == 0 && one.last["runs"] == 12 && folder.exists("cuts/report.html"))
    let nowhere = try await Command.run(["report", folder.path + "/cuts", folder.path + "/clothes", "--json"])
    #expect(nowhere.status == 64 && nowhere.isErrorLine("--out"))
    let missing = try await Command.run(["report", folder.path + "/none", "--json"])
    #expect(missing.status == 65 && missing.isError("none/results.jsonl"))
    try folder.write(Data((try folder.text("cuts/results.jsonl") + "{}\n").utf8), to: "cuts/results.jsonl")
    let damaged = try await Command.run(["report", folder.path + "/cuts", "--json"])
    #expect(damaged.status == 65 && damaged.isError("line 13"))
    for (figure, wrong) in [("\"gmac\":1.43", "\"gmac\":1.7e308"), ("\"seed\":1", "\"seed\":1e99")] {
      let line = try folder.text("clothes/results.jsonl").replacingOccurrences(of: figure, with: wrong)
      try folder.write(Data(line.utf8), to: "wrong/results.jsonl")
      let outcome = try await Command.run(["report", folder.path + "/wrong", "--json"])
      #expect(outcome.status == 65 && outcome.isError("line 1 "), "\(outcome.errors)")
    }
  }

  @Test func hostileNamesStayText() async throws {
    let folder = try TestFolder()
    let task = "<script>alert(1)</script>\"' & \u{1B}[31m| [x](javascript:y) `z`"
    let method = "alore:name=\"<img src=x onerror=alert(2)>\""
    try folder.writeResults("cuts", task: task, methods: ["linear", method], device: "<b>device</b>")
    let outcome = try await Command.run(["report", folder.path + "/cuts"])
    #expect(outcome.status == 0 && !outcome.output.contains("\u{1B}"), "\(outcome.errors)")
    let (page, markdown) = (try folder.text("cuts/report.html"), try folder.text("cuts/report.md"))
    #expect(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39; &amp; "))
    #expect(page.contains("&lt;img src=x onerror=alert(2)&gt;") && page.contains("&lt;b&gt;device"))
    // The command stands in a block of code, where Markdown reads nothing.
    let prose = markdown.split(separator: "\n").filter { !$0.hasPrefix("    ") }.joined(separator: "\n")
    for text in [page, prose] {
      for hostile in ["<script>alert", "<img", "<b>", "\u{1B}"] {
        #expect(!text.contains(hostile), "\(hostile)")
      }
    }
    #expect(
      markdown.contains("\\[x\\](javascript") && prose.contains("\\|") && prose.contains("\\`z\\`"))
  }

  /// Labels of methods that stand close together lie beside each other, inside the plot.
  @Test(arguments: ["wide", "narrow"])
  func labelsDoNotOverlap(_ size: String) async throws {
    let folder = try TestFolder()
    let methods = (1...17).map { "method-\($0)" }
    try folder.writeResults("cuts", task: "cuts", methods: methods, crowded: true)
    #expect(try await Command.run(["report", folder.path + "/cuts"]).status == 0)
    let page = try folder.text("cuts/report.html")
    let plot = try #require(page.components(separatedBy: "<svg id=\"plot-1-\(size)\"").last)
    let width = try #require(plot.firstMatch(of: #/viewBox="0 0 (\d+) (\d+)"/#))
    let labels = try #require(
      plot.components(separatedBy: "<g class=\"labels\">").last?.components(separatedBy: "</g>").first)
    let found = labels.matches(of: #/<text text-anchor="middle" x="([\d.]+)" y="([\d.]+)">([^<]+)</#)
    let boxes = found.map { match in
      let half = 6.4 * Double(match.3.count) / 2
      let (x, y) = (Double(match.1) ?? .nan, Double(match.2) ?? .nan)
      return (name: match.3, left: x - half, right: x + half, top: y - 10, bottom: y + 2)
    }
    #expect(boxes.count == 17)
    for (index, a) in boxes.enumerated() {
      #expect(
        a.left > 0 && a.right < Double(width.1) ?? 0 && a.top > 0 && a.bottom < Double(width.2) ?? 0, "\(a)")
      for b in boxes.dropFirst(index + 1) {
        let apart = a.right < b.left || b.right < a.left || a.bottom < b.top || b.bottom < a.top
        #expect(apart, "\(a.name) and \(b.name)")
      }
    }
  }

  // MARK: Several models, published figures

  @Test func severalModelsPredictAsEachAlone() async throws {
    let folder = try TestFolder()
    try folder.writeData("data")
    let data = folder.path + "/data"
    let (a, b) = (folder.path + "/a", folder.path + "/b")
    #expect(try await Command.train(data, a, "alore", Self.short).status == 0)
    #expect(try await Command.train(data, b, "ila", Self.short).status == 0)
    let images = ["red", "blue"].map { data + "/val/\($0)/0.png" }
    let both = try await Command.run(["predict", "--model", a, "--model", b, "--json"] + images)
    #expect(both.status == 0 && both.answers.count == 5 && both.last["models"] == 2, "\(both.errors)")
    for model in [a, b] {
      let alone = try await Command.run(["predict", "--model", model, "--json"] + images)
      let mine = both.lines.compactMap { $0 }.filter { $0["model"] == .string(model) }
      #expect(mine == alone.answers.dropLast().compactMap { $0 } && mine.count == 2)
    }
    for (a, b) in [(0, 1), (0, 2)] { #expect(both.answers[a]?["logits"] != both.answers[b]?["logits"]) }
    let text = try await Command.run(["predict", "--model", a, "--model", b, images[0]])
    #expect(text.output.contains("\(images[0]) (\(a)): ") && text.output.contains("\(images[0]) (\(b)): "))
    let bad = try await Command.run(["predict", "--model", a, "--model", "nowhere", "--json", images[0]])
    #expect(bad.status == 65 && bad.isError("nowhere"))
  }

  @Test func publishedFigures() async throws {
    let outcome = try await Command.run(["info", "--published", "--json"])
    #expect(outcome.status == 0 && outcome.last["event"] == "done", "\(outcome.errors)")
    let ila = outcome.lines.compactMap { $0 }.first {
      $0["adapter"] == "ila++" && $0["quantity"] == "total_trainable_parameters" && $0["settings"] == [:]
    }
    #expect(ila?["published"] == "3.5" && ila?["agrees"] == true)
    let text = try await Command.run(["info", "--published"])
    for words in ["SoyGlobal 1938", "3.510", "148,992", "agrees"] { #expect(text.output.contains(words)) }
  }
}

extension Command {
  /// Compares on the small ViT with JSON lines.
  static func compare(
    _ data: String, _ out: String, _ adapters: String, _ more: [String] = [],
    while running: ((_ process: Process, _ output: String) -> Void)? = nil
  ) async throws -> Outcome {
    let size = more.contains("--image-size") ? [] : ["--image-size", "48"]
    return try await run(
      [
        "compare", "--backbone", backbone, "--heads", "4", "--data", data, "--adapters", adapters, "--out",
        out, "--json",
      ]
        + size + more, while: running)
  }
}

extension Command.Outcome {
  /// As `isError`, for wrong arguments, whose text ArgumentParser writes.
  func isErrorLine(_ words: String) -> Bool {
    last["event"] == "error" && (last["message"]?.stringValue ?? "").contains(words)
  }
}

extension TestFolder {
  func text(_ name: String) throws -> String { String(decoding: try bytes(name), as: UTF8.self) }

  /// A `results.jsonl` as `graft compare` writes it, three seeds a method; `crowded` puts all in one corner of the plot.
  func writeResults(
    _ name: String, task: String, methods: [String], device: String = "a device", crowded: Bool = false
  ) throws {
    var lines = ""
    for (index, method) in methods.enumerated() {
      for seed in 1...3 {
        let accuracy =
          Double(40 + (crowded ? index % 4 : index)) / 100 + Double(seed - 1) / (crowded ? 500 : 100)
        let line: JSONValue = [
          "task": .string(task), "method": .string(method),
          "adapter": .string(String(method.prefix { $0 != ":" })), "settings": [:], "merges": false,
          "seed": .integer(seed),
          "conditions": [
            "backbone": "vit_small_patch14_dinov2", "backbone_hash": "00", "image_size": 112, "classes": 3,
            "training_images": 30, "validation_images": 9, "images_hash": "00",
          ],
          "recipe": [
            "name": "quick", "epochs": 2, "batch_size": 6, "accumulation": 1,
            "optimizer": ["adam_w": ["beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8]], "learning_rate": 0.01,
            "weight_decay": 0.01, "schedule": ["constant": [:]], "clip": 1, "label_smoothing": 0,
            "backbone_dropout": 0, "drop_path": 0, "augmentation": "none",
          ],
          "trainable_parameters": .integer(1000 * (index + 1)), "adapter_parameters": .integer(1000 * index),
          "gmac": .number(1.43 + Double(index) / (crowded ? 400 : 10)), "top1": .number(accuracy),
          "best_top1": .number(accuracy), "inference_images_per_second": .integer([52, 77, 61][seed - 1]),
          "peak_device_bytes": 1_000_000,
          "device": .string(device), "graft_version": "0", "date": "2026-01-01T00:00:00Z",
          "command": .string("graft compare --data \(task)"),
        ]
        lines += String(decoding: try JSONEncoder().encode(line), as: UTF8.self) + "\n"
      }
    }
    try write(Data(lines.utf8), to: "\(name)/results.jsonl")
  }
}
