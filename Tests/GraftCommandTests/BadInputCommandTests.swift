import Foundation
import Graft
import Testing

/// Wrong input through the built command: its status, a message that names the thing, nothing written.
@Suite(.serialized, .enabled(if: Command.isBuilt, "build the command first: swift build --product graft"))
struct BadInputCommandTests {
  // MARK: Devices

  @Test(arguments: [["devices"], ["doctor"], ["predict", "--model", "x", "y.png"]])
  func noDevice(_ arguments: [String]) async throws {
    let folder = try TestFolder()
    let outcome = try await Command.run(
      arguments + ["--json"], environment: ["OCL_ICD_VENDORS": folder.path, "OCL_ICD_FILENAMES": ""])
    #expect(outcome.status == 69)
    for words in [
      "No OpenCL device", "/etc/OpenCL/vendors", "apt-get install pocl-opencl-icd", "brew install",
    ] {
      #expect(outcome.isError(words), "\(outcome.errors)")
    }
  }

  @Test func unknownDevice() async throws {
    let data = ["--data", "nowhere", "--model", "nothing"]
    let option = try await Command.run(["eval", "--device", "no-such", "--json"] + data)
    #expect(option.status == 69 && option.isError("\"no-such\"") && option.isError("Here are: 0:"))
    let variable = try await Command.run(["eval", "--json"] + data, environment: ["GRAFT_DEVICE": "17"])
    #expect(variable.status == 69 && variable.isError("\"17\""))
  }

  // MARK: Arguments

  @Test(arguments: [
    (["train", "--adapter", "aloer"], 64, "Did you mean \"alore\"?"),
    (["train", "--adapter", "alore", "--set", "rank"], 64, "NAME=VALUE"),
    (["train", "--adapter", "alore", "--set", "rnak=4"], 64, "experts, rank, scale"),
    (["train", "--adapter", "alore", "--set", "rank=0"], 64, "rank = 0"),
    (["train", "--adapter", "alore", "--set", "rank=9223372036854775807"], 64, "rank"),
    (["train", "--adapter", "alore", "--set", "experts=7"], 64, "divide"),
    (["train", "--adapter", "dyn", "--host", "aloer"], 64, "Did you mean \"alore\"?"),
    (["train", "--adapter", "dyn", "--host", "dyn"], 64, "early exits"),
    (["train", "--adapter", "dyn", "--set", "exits=[6]"], 64, "1...5"),
    (["train", "--adapter", "alore", "--host", "linear"], 64, "experts, rank, scale"),
    (["train", "--adapter", "ila", "--image-size", "50"], 64, "48 or 56"),
    (["train", "--adapter", "ila", "--image-size", "16"], 64, "larger images"),
    (["train", "--adapter", "ila", "--image-size", "32x96"], 64, "larger images"),
    (["train", "--adapter", "ila", "--image-size", "48x90"], 64, "48x88 or 48x96"),
    (["train", "--adapter", "ila", "--image-size", "48x"], 64, "48x"),
    (["train", "--adapter", "ila", "--heads", "3"], 64, "heads"),
    (["train", "--adapter", "ila", "--preset", "fast"], 64, "quick, ila"),
    (["train", "--adapter", "ila", "--epochs", "0"], 64, "epochs = 0"),
    (["train", "--adapter", "ila", "--epochs", "many"], 64, "many"),
    (["train", "--adapter", "ila", "--batch-size=-1"], 64, "batch size = -1"),
    (["train", "--adapter", "ila", "--learning-rate", "nan"], 64, "learning rate"),
    (["train", "--adapter", "ila", "--augmentation", "mixup"], 64, "mixup"),
    (["train", "--adapter", "ila", "--memory-limit", "much"], 64, "512M"),
    (["train", "--adapter", "ila", "--cache-limit", "much"], 64, "--cache-limit much is no size"),
    (["train", "--adapter", "ila", "--cache-images", "much"], 64, "--cache-images much is no size"),
    (["train", "--adapter", "linear", "--cache-features", "/proc/graft"], 73, "/proc/graft"),
    (["train", "--adapter", "ila", "--evaluate-every", "0"], 64, "0"),
    (["train", "--adapter", "ila", "--out", "/proc/graft"], 73, "/proc/graft"),
    (["train", "--adapter", "ila", "--backbone", "no.safetensors"], 65, "no.safetensors"),
    (["train", "--adapter", "ila", "--data", "no-data"], 65, "no-data/train"),
  ])
  func training(_ arguments: [String], _ status: Int32, _ words: String) async throws {
    let folder = try TestFolder()
    try folder.writeData("data", train: 1, val: 1)
    var all = ["--backbone": Command.backbone, "--heads": "4", "--image-size": "48"]
    all["--data"] = folder.path + "/data"
    all["--out"] = folder.path + "/run"
    let defaults = all.filter { !arguments.contains($0.key) }.flatMap { [$0.key, $0.value] }
    let outcome = try await Command.run(arguments + defaults + ["--json"])
    #expect(outcome.status == status, "\(outcome.errors)")
    #expect(outcome.isError(words), "\(outcome.output) \(outcome.errors)")
    #expect(!folder.exists("run/adapter_config.json") && !folder.exists("run/checkpoint.safetensors"))
  }

  @Test(arguments: [
    (["info", "--backbone", "resnet50"], 64, "vit_base_patch16_224"),
    (["info", "--backbone", "vit_base_patch16_224", "--image-size", "225"], 64, "224 or 240"),
    (["info", "--backbone", "vit_base_patch16_224", "--image-size", "225x448"], 64, "224x448 or 240x448"),
    (["tune", "--backbone", "vit_base_patch16_224", "--image-size", "224x450"], 64, "224x448 or 224x464"),
    (["info", "--backbone", "vit_base_patch16_224", "--image-size", "0x224"], 64, "16x224"),
    (["info", "--backbone", "vit_base_patch16_224", "--image-size", "224x1000000"], 64, "largest"),
    (["info", "--backbone", "vit_base_patch16_224", "--image-size", "9223372036854775792"], 64, "largest"),
    (["info", "--backbone", "vit_base_patch16_224", "--classes=-1"], 64, "--classes"),
    (["info", "--backbone", "vit_base_patch16_224", "--classes", "9223372036854775807"], 64, "--classes"),
    (["info", "--backbone", "vit_base_patch16_224", "--adapter", "resnet"], 64, "resnet"),
    (["info", "--backbone", "missing.safetensors"], 65, "missing.safetensors"),
    (["info"], 64, "--backbone"),
    (["eval", "--model", "x", "--data", "y", "--fast"], 64, "--fast"),
    (["eval", "--model", "no-model", "--data", "y"], 65, "no-model"),
    (["predict", "--model", "no-model", "y.png"], 65, "no-model"),
    (["predict", "--model", "no-model", "--top", "0", "y.png"], 64, "--top"),
    (["predict", "--model", "no-model", "--max-pixels", "0", "y.png"], 64, "--max-pixels"),
    (["eval", "--model", "no-model", "--data", "y", "--max-pixels", "0"], 64, "--max-pixels"),
    (["merge", "--model", "no-model", "--out", "x"], 65, "no-model"),
  ])
  func others(_ arguments: [String], _ status: Int32, _ words: String) async throws {
    let outcome = try await Command.run(arguments + ["--json"])
    #expect(outcome.status == status && outcome.isError(words), "\(outcome.output) \(outcome.errors)")
    // Without --json, the same words for people, and nothing on standard output.
    let plain = try await Command.run(arguments)
    #expect(plain.status == status && plain.output.isEmpty && plain.errors.contains(words))
  }

  @Test func unknownVerb() async throws {
    let outcome = try await Command.run(["grow"])
    #expect(outcome.status == 64 && outcome.errors.contains("grow") && outcome.output.isEmpty)
  }

  // MARK: Files

  @Test func damagedBackbones() async throws {
    let folder = try TestFolder()
    try folder.writeData("data", train: 1, val: 1)
    let whole = try Data(contentsOf: URL(fileURLWithPath: Command.backbone))
    let header = Data(#"{"cls_token":{"dtype":"F32","shape":[1,1,64],"data_offsets":[0,999999999]}}"#.utf8)
    let lying =
      withUnsafeBytes(of: UInt64(header.count).littleEndian) { Data($0) } + header + Data(count: 256)
    let hostile = Data([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]) + Data(count: 100)
    for (name, bytes) in [
      ("cut", whole.prefix(whole.count / 2)), ("lying", lying), ("hostile", hostile), ("empty", Data()),
    ] {
      try folder.write(bytes, to: "\(name).safetensors")
      for arguments in [
        ["info", "--backbone", "\(folder.path)/\(name).safetensors", "--heads", "4", "--json"],
        [
          "train", "--backbone", "\(folder.path)/\(name).safetensors", "--data", "\(folder.path)/data",
          "--adapter",
          "ila", "--out", "\(folder.path)/run", "--json",
        ],
      ] {
        let outcome = try await Command.run(arguments)
        #expect(outcome.status == 65 && outcome.isError("\(name).safetensors"), "\(name): \(outcome.errors)")
      }
    }
    let other = Command.checkout + "/Tests/Fixtures/adapters/ila.safetensors"
    let outcome = try await Command.run(["info", "--backbone", other, "--json"])
    #expect(outcome.status == 65 && outcome.isError("patch_embed.proj.weight"))
    #expect(!folder.exists("run"))
  }

  @Test func badFolders() async throws {
    let folder = try TestFolder()
    try folder.writeData("one", classes: ["red"], train: 1, val: 1)
    try folder.writeData("differ", train: 1, val: 1)
    try FileManager.default.moveItem(
      atPath: folder.path + "/differ/val/red", toPath: folder.path + "/differ/val/rouge")
    try folder.writeData("hole", train: 1, val: 1)
    try FileManager.default.removeItem(atPath: folder.path + "/hole/val/red/0.png")
    try FileManager.default.createDirectory(
      atPath: folder.path + "/empty/train", withIntermediateDirectories: true)
    for (name, words) in [
      ("one", ["only one class", "red"]),
      ("differ", ["Only in training: 'red'", "Only in validation: 'rouge'"]),
      ("hole", ["val/red"]), ("empty", ["empty/train", "no class folders"]),
    ] {
      let outcome = try await Command.train(folder.path + "/" + name, folder.path + "/run", "linear")
      #expect(outcome.status == 65, "\(name): \(outcome.errors)")
      for word in words { #expect(outcome.isError(word), "\(name): \(outcome.errors)") }
    }
    #expect(!folder.exists("run"))
  }

  @Test func brokenImages() async throws {
    let folder = try TestFolder()
    try folder.writeData("data", train: 4, val: 2)
    let broken = "data/train/green/9.png"
    try folder.write(folder.bytes("data/train/green/0.png").prefix(3000), to: broken)
    let (data, options) = (folder.path + "/data", ["--epochs", "1", "--batch-size", "6"])
    let refused = try await Command.train(data, folder.path + "/refused", "linear", options)
    #expect(refused.status == 65 && refused.isError("green/9.png"), "\(refused.errors)")
    #expect(!folder.exists("refused/adapter_config.json"))
    let skipped = try await Command.train(
      data, folder.path + "/skipped", "linear", options + ["--skip-broken"])
    #expect(skipped.status == 0 && skipped.last["event"] == "done", "\(skipped.errors)")
    #expect(skipped.errors.contains("Skipped: ") && skipped.errors.contains("green/9.png"))
    let predicted = try await Command.run(
      ["predict", "--model", folder.path + "/skipped", folder.path + "/" + broken, "--json"])
    #expect(predicted.status == 65 && predicted.isError("green/9.png"))
  }

  /// All pictures have 48 by 48 pixels.
  @Test func largePictures() async throws {
    let folder = try TestFolder()
    try folder.writeData("data", train: 2, val: 1)
    let (data, model, options) = (folder.path + "/data", folder.path + "/run", ["--epochs", "1"])
    let (enough, tooFew) = (["--max-pixels", "2304"], ["--max-pixels", "2303"])
    let trained = try await Command.train(data, model, "linear", options + enough)
    #expect(trained.status == 0, "\(trained.errors)")
    let (eval, predict) = (["eval", "--data", data], ["predict", data + "/val/red/0.png"])
    for verb in [eval, predict] {
      let read = try await Command.run(verb + ["--model", model, "--json"] + enough)
      #expect(read.status == 0, "\(read.errors)")
    }
    for refused in [
      try await Command.train(data, folder.path + "/other", "linear", options + tooFew),
      try await Command.compare(data, folder.path + "/others", "linear", options + tooFew),
      try await Command.run(eval + ["--model", model, "--json"] + tooFew),
      try await Command.run(predict + ["--model", model, "--json"] + tooFew),
    ] {
      #expect(refused.status == 65 && refused.isError("48 by 48 pixels"), "\(refused.errors)")
      #expect(refused.isError("2303 pixels") && refused.isError("--max-pixels N"))
    }
  }

  @Test func batchLargerThanTheData() async throws {
    let folder = try TestFolder()
    try folder.writeData("data", train: 2, val: 1)
    let outcome = try await Command.train(
      folder.path + "/data", folder.path + "/run", "ila", ["--epochs", "1", "--batch-size", "1000"])
    #expect(outcome.status == 0 && outcome.last["steps"] == 1, "\(outcome.errors)")
  }

  // MARK: Training that fails

  @Test func divergingTraining() async throws {
    let folder = try TestFolder()
    try folder.writeData("data", train: 4, val: 1)
    let outcome = try await Command.train(
      folder.path + "/data", folder.path + "/run", "alore",
      ["--epochs", "2", "--batch-size", "4", "--learning-rate", "1e30"])
    #expect(outcome.status == 70 && outcome.isError("not finite at step 2"), "\(outcome.errors)")
    #expect(outcome.isError("--learning-rate"))
    #expect(!folder.exists("run/adapter_config.json"))
  }

  @Test func outOfMemory() async throws {
    let folder = try TestFolder()
    try folder.writeData("data", train: 20, val: 1)
    func train(_ batch: Int, _ out: String) async throws -> Command.Outcome {
      try await Command.train(
        folder.path + "/data", folder.path + "/" + out, "ila",
        ["--epochs", "1", "--batch-size", "\(batch)", "--memory-limit", "12M"])
    }
    let outcome = try await train(60, "run")
    #expect(outcome.status == 70 && outcome.isError("A batch of 60 does not fit"), "\(outcome.errors)")
    let message = outcome.last["message"]?.stringValue ?? ""
    let advice = message.firstMatch(of: #/--batch-size (\d+)/#).flatMap { Int($0.1) }
    let fitting = try #require(advice, "\(message)")
    #expect(try await train(fitting, "fitting").status == 0)
  }

  @Test func outputUnderAFile() async throws {
    let folder = try TestFolder()
    try folder.writeData("data", train: 1, val: 1)
    try folder.write(Data("mine".utf8), to: "file")
    for out in ["file", "file/run"] {
      let outcome = try await Command.train(folder.path + "/data", folder.path + "/" + out, "linear")
      #expect(outcome.status == 73 && outcome.isError("/file"), "\(outcome.errors)")
    }
    #expect(try folder.bytes("file") == Data("mine".utf8))
  }
}
