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
