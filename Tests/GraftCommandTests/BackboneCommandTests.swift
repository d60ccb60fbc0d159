import Foundation
import Graft
import Testing

/// What the command says of a backbone: what is assumed, what it is not, and how to make one of other files.
@Suite(.serialized, .enabled(if: Command.isBuilt, "build the command first: swift build --product graft"))
struct BackboneCommandTests {
  private static let python = Command.checkout + "/.cache/venv-reference/bin/python"

  // MARK: Assumptions

  @Test func infoSaysWhatIsAssumed() async throws {
    func info(_ more: String...) async throws -> Command.Outcome {
      try await Command.run(["info", "--backbone", Command.backbone] + more)
    }
    let nothingSaid = try await info()
    #expect(
      nothingSaid.output.contains(
        """
        Assumed: 1 head, epsilon 1e-6, pixels scaled to -1...1, exact GELU; the file does not tell. Say --heads, \
        --epsilon, --normalization or --set-backbone activation=NAME if the weights were trained otherwise.
        """), "\(nothingSaid.output)")
    #expect(nothingSaid.output.contains("images of 48 px\nRead as    timm\nAdapter "))
    let assumed = try await info("--json").last["assumed"]
    #expect(
      assumed
        == ["heads": 1, "epsilon": .number(1e-6), "normalization": "half", "activation": "gelu"])
    let some = try await info("--heads", "4", "--epsilon", "1e-5", "--json")
    #expect(some.last["assumed"] == ["normalization": "half", "activation": "gelu"])
    #expect(some.errors.contains("Say --normalization or --set-backbone activation=NAME if"))
    let all = try await info("--heads", "4", "--epsilon", "1e-5", "--normalization", "imagenet")
    #expect(all.output.contains("Assumed: exact GELU; the file does not tell. Say"), "\(all.output)")
    let whole = try await info(
      "--heads", "4", "--set-backbone", "epsilon=1e-5", "--set-backbone", "normalization=imagenet",
      "--set-backbone", "activation=quick_gelu", "--json")
    #expect(whole.last["assumed"] == .object([:]) && !whole.errors.contains("Assumed"))
    #expect(
      whole.last["facts"]?.objectValue?["activation"] == ["value": "quick_gelu", "origin": "flag"])
    #expect(
      whole.last["facts"]?.objectValue?["pooling"] == ["value": "token", "origin": "default"])
    let typo = try await info("--set-backbone", "activaton=gelu")
    #expect(typo.status != 0)
    #expect(typo.errors.contains("what can be said of a backbone is: architecture, heads"))
    let empty = try await info("--set-backbone", "heads")
    #expect(empty.status == 64 && empty.errors.contains("write NAME=VALUE"))
    // A name tells everything.
    let named = try await Command.run(["info", "--backbone", "vit_tiny_patch16_224", "--json"])
    #expect(named.last["assumed"] == .object([:]) && !named.errors.contains("Assumed"))
    let heads = try await Command.run(["info", "--backbone", "vit_tiny_patch16_224", "--heads", "5"])
    #expect(heads.status == 64 && heads.errors.contains("divide the width, 192"))
  }

  @Test func trainingSaysAndRecordsWhatIsAssumed() async throws {
    let folder = try TestFolder()
    try folder.writeData("data", train: 1, val: 1)
    func train(_ out: String, _ more: [String]) async throws -> (Command.Outcome, JSONValue?) {
      let outcome = try await Command.train(
        folder.path + "/data", folder.path + "/" + out, "linear",
        ["--epochs", "1", "--batch-size", "3"] + more)
      #expect(outcome.status == 0, "\(outcome.errors)")
      let manifest = try JSONDecoder().decode(
        JSONValue.self, from: folder.bytes("\(out)/adapter_config.json"))
      return (outcome, manifest.objectValue?["settings"]?.objectValue?["backbone_assumed"])
    }
    let (quick, recorded) = try await train("quick", [])
    #expect(quick.errors.contains("Assumed: epsilon 1e-6, pixels scaled to -1...1, exact GELU; the file"))
    #expect(quick.last["assumed"]?.objectValue?["epsilon"]?.doubleValue == 1e-6)
    #expect(recorded == ["activation", "epsilon", "normalization"])
    // What a preset says is assumed, what an option says is not.
    let (ila, ofIla) = try await train("ila", ["--preset", "ila", "--normalization", "half"])
    #expect(ila.errors.contains("Assumed: epsilon 1e-12, exact GELU; the file"), "\(ila.errors)")
    #expect(ofIla == ["activation", "epsilon"])
  }

  @Test(arguments: ["bench", "tune"])
  func adviceCanBeFollowed(_ verb: String) async throws {
    let help = try await Command.run([verb, "--help"]).output
    #expect(help.contains("--heads") && help.contains("--epsilon") && help.contains("--normalization"))
  }

  // MARK: Names

  @Test func architecturesAreListed() async throws {
    let list = try await Command.run(["info", "--backbones", "--json"])
    #expect(list.status == 0 && list.last["architectures"]?.intValue == BackboneCatalog.all.count)
    let lines = list.lines.compactMap { $0 }
    let base = lines.first { $0["architecture"] == "vit_base_patch16_224" }
    #expect(base?["backbone_parameters"] == 85_798_656 && base?["normalization"] == "half")
    #expect(base?["tags"]?.objectValue?["mae"] == "imagenet")
    let text = try await Command.run(["info", "--architectures"]).output
    for name in BackboneCatalog.all.map(\.name) { #expect(text.contains(name + " ")) }
  }

  @Test(arguments: [
    ("vit_base_patch16_radio_v3", "no norm at the end"), ("vit_base_r50_s16_224", "convolutional network"),
    ("vit_base_patch14_nonsense", "Did you mean \"vit_base_patch14_dinov2\"?"),
    ("vit_base_patch16_224.mea", "augreg_in21k"), ("resnet50", "graft info --backbones"),
  ])
  func unknownNames(_ name: String, _ words: String) async throws {
    let outcome = try await Command.run(["info", "--backbone", name, "--json"])
    #expect(outcome.status == 64 && outcome.isError(words), "\(outcome.errors)")
  }

  // MARK: Files

  /// What other programs wrap and prefix is read as it is, and converted to the very tensors.
  @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: python), "tools/setup.py makes it"))
  func wrappedWeightsAreConverted() async throws {
    let folder = try TestFolder()
    let program = """
      import sys, torch
      from safetensors.torch import load_file, save_file
      source, out = sys.argv[1:]
      tensors = load_file(source)
      save_file({'module.' + k: v for k, v in tensors.items()}, out + '/prefixed.safetensors')
      torch.save({'model': tensors, 'epoch': 3}, out + '/nested.pth')
      torch.save(tensors, out + '/old.bin', _use_new_zipfile_serialization=False)
      """
    try run(Self.python, ["-c", program, Command.backbone, folder.path], in: folder)
    let plain = try SafetensorsFile(path: FilePath(Command.backbone))
    for name in ["prefixed.safetensors", "nested.pth", "old.bin"] {
      let path = "\(folder.path)/\(name)"
      #expect(try await Command.run(["info", "--backbone", path, "--heads", "4"]).status == 0, "\(name)")
      let made = folder.path + "/made.safetensors"
      let outcome = try await Command.run(["convert", "--backbone", path, "--out", made, "--json"])
      #expect(outcome.status == 0 && outcome.last["dialect"] == "timm", "\(name): \(outcome.errors)")
      #expect(try SafetensorsFile(path: FilePath(made)).contentHash == plain.contentHash, "\(name)")
    }
  }

  /// What the library refuses (AdviceTests), the command says, and what to do; nothing in a file is run.
  @Test(arguments: [
    ("torchscript.pt", "TorchScript archive", "torch.jit.load"), ("call.pth", "print", "where you trust it"),
    ("quantised.pth", "quantised", "dequantize()"), ("fortran.npz", "Fortran's order", "ascontiguousarray"),
    ("int8.safetensors", "I8", "before"),
  ])
  func weightsThatAreNotRead(_ file: String, _ what: String, _ advice: String) async throws {
    let path = Command.checkout + "/Tests/Fixtures/refused/" + file
    let outcome = try await Command.run(["info", "--backbone", path, "--json"])
    #expect(outcome.status == 65 && !(outcome.output + outcome.errors).contains("was run"))
    for words in [path, what, advice] { #expect(outcome.isError(words), "\(outcome.errors)") }
  }

  @Test func featuresOfPictures() async throws {
    let folder = try TestFolder()
    let out = folder.path + "/f.safetensors"
    let pictures = ["rgb.png", "rgb.jpg"].map { "\(Command.checkout)/Tests/Fixtures/images/\($0)" }
    let arguments = ["features", "--backbone", Command.backbone, "--heads", "4", "--out", out, "--json"]
    let outcome = try await Command.run(arguments + pictures)
    #expect(outcome.status == 0 && outcome.last["shape"] == [2, 64], "\(outcome.errors)")
    let pooled = try SafetensorsFile(path: FilePath(out)).floats("features")
    #expect(try await Command.run(arguments + ["--tokens"] + pictures).status == 0)
    let tokens = try SafetensorsFile(path: FilePath(out))
    #expect(tokens.tensors["features"]?.shape == [2, 37, 64])
    // The class token behind the last norm is the feature.
    #expect(try Array(tokens.floats("features").prefix(64)) == Array(pooled.prefix(64)))
    #expect(try await Command.run(arguments + ["--block", "7"] + pictures).status == 64)
  }

  private func features(_ arguments: [String], in folder: TestFolder) async throws -> [Float] {
    let out = folder.path + "/f.safetensors"
    let outcome = try await Command.run(["features", "--out", out] + arguments)
    try #require(outcome.status == 0, "\(outcome.errors)")
    return try SafetensorsFile(path: FilePath(out)).floats("features")
  }

  @Test func rawPicturesAreTakenAsTheyAre() async throws {
    let folder = try TestFolder()
    try folder.writeData("data", train: 1, val: 1)
    // Its pictures are enlarged and cropped.
    let trained = try await Command.train(
      folder.path + "/data", folder.path + "/run", "linear",
      ["--preset", "ila", "--normalization", "half", "--epochs", "1"])
    try #require(trained.status == 0, "\(trained.errors)")
    let model = ["--model", folder.path + "/run"]
    let weights = ["--backbone", Command.backbone, "--heads", "4", "--epsilon", "1e-12"]
    let backbone = weights + ["--normalization", "half"]
    let square = folder.path + "/data/val/red/0.png"
    let raw = try await features(model + ["--raw", square], in: folder)
    #expect(try await raw == features(backbone + ["--raw", square], in: folder))
    #expect(try await raw == features(backbone + [square], in: folder))
    #expect(try await raw != features(model + [square], in: folder))
    // A picture of 56 rows and 48 columns, at that size and no other.
    let pixels = (0..<56 * 48 * 3).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 5) }
    try folder.write(PNG.encode(width: 48, height: 56, pixels), to: "tall.png")
    let tall = folder.path + "/tall.png"
    #expect(try await features(backbone + ["--image-size", "56x48", "--raw", tall], in: folder).count == 64)
    for size in ["48", "48x56"] {
      let out = folder.path + "/refused.npy"
      let refused = try await Command.run(
        ["features", "--out", out, "--image-size", size, "--json", "--raw"] + backbone + [square, tall])
      #expect(refused.status == 65 && !folder.exists("refused.npy"))
      let (own, wanted) = ("56x48 pixels", "must be 48x\(size == "48" ? 48 : 56)")
      let culprit = size == "48" ? "tall.png is \(own)" : "0.png is 48x48 pixels"
      for words in [culprit, wanted, "leave out --raw"] {
        #expect(refused.isError(words), "\(refused.errors)")
      }
    }
  }

  /// A model on weights of transformers' is merged into their names or timm's, and says the same in both.
  @Test func mergedWeightsHaveTheirNamesOrTimms() async throws {
    let folder = try TestFolder()
    try folder.writeData("data", train: 2, val: 1)
    let (run, picture) = (folder.path + "/run", folder.path + "/data/val/red/0.png")
    let trained = try await Command.run([
      "train", "--backbone", Command.checkout + "/Tests/Fixtures/dialects/hf_vit", "--heads", "2",
      "--image-size", "16", "--data", folder.path + "/data", "--adapter", "lora", "--out", run, "--epochs",
      "2",
      "--learning-rate", "0.05",
    ])
    try #require(trained.status == 0, "\(trained.errors)")
    func logits(_ model: String) async throws -> [Double] {
      let answer = try await Command.run(["predict", "--model", model, "--json", picture])
      let line = answer.answers.compactMap { $0 }.first { $0["event"] == "prediction" }
      return line?["logits"]?.arrayValue?.compactMap(\.doubleValue) ?? []
    }
    let expected = try await logits(run)
    for (names, some) in [("original", "vit.layernorm.weight"), ("timm", "blocks.1.attn.qkv.weight")] {
      let out = "\(folder.path)/\(names).safetensors"
      let words = names == "original" ? [] : ["--names", names]
      let merged = try await Command.run(["merge", "--model", run, "--out", out, "--json"] + words)
      #expect(merged.status == 0 && merged.last["relative_difference"] != nil, "\(merged.errors)")
      #expect(try SafetensorsFile(path: FilePath(out)).tensors[some] != nil)
      let own = try await logits(out)
      #expect(own.count == 3 && zip(own, expected).allSatisfy { abs($0 - $1) < 1e-4 })
    }
    let refused = try await Command.run(["merge", "--model", run, "--out", "x", "--names", "torch"])
    #expect(refused.status == 64 && refused.errors.contains("timm"))
  }

  /// Runs a program in a folder; its failure is the test's.
  private func run(_ path: String, _ arguments: [String], in folder: TestFolder) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = arguments
    process.currentDirectoryURL = URL(fileURLWithPath: folder.path)
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0, "\(arguments)")
  }
}
