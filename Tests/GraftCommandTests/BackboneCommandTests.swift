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
        --epsilon or --normalization if the weights were trained otherwise.
        """), "\(nothingSaid.output)")
    let assumed = try await info("--json").last["assumed"]
    #expect(
      assumed
        == ["heads": 1, "epsilon": .number(1e-6), "normalization": "half", "activation": "gelu"])
    let some = try await info("--heads", "4", "--epsilon", "1e-5", "--json")
    #expect(some.last["assumed"] == ["normalization": "half", "activation": "gelu"])
    #expect(some.errors.contains("Say --normalization if"))
    let all = try await info("--heads", "4", "--epsilon", "1e-5", "--normalization", "imagenet")
    #expect(all.output.contains("Assumed: exact GELU; the file does not tell.\n"), "\(all.output)")
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
    let list = try await Command.run(["info", "--architectures", "--json"])
    #expect(list.status == 0 && list.last["architectures"]?.intValue == BackboneCatalog.all.count)
    let lines = list.lines.compactMap { $0 }
    let base = lines.first { $0["architecture"] == "vit_base_patch16_224" }
    #expect(base?["backbone_parameters"] == 85_798_656 && base?["normalization"] == "half")
    #expect(base?["tags"]?.objectValue?["mae"] == "imagenet")
    let text = try await Command.run(["info", "--architectures"]).output
    for name in BackboneCatalog.all.map(\.name) { #expect(text.contains(name + " ")) }
  }

  @Test(arguments: [
    ("vit_small_patch14_reg4_dinov2", "register tokens"), ("vit_base_patch16_siglip_224", "no class token"),
    ("vit_base_patch14_nonsense", "Did you mean \"vit_base_patch14_dinov2\"?"),
    ("vit_base_patch16_224.mea", "augreg_in21k"), ("resnet50", "graft info --architectures"),
  ])
  func unknownNames(_ name: String, _ words: String) async throws {
    let outcome = try await Command.run(["info", "--backbone", name, "--json"])
    #expect(outcome.status == 64 && outcome.isError(words), "\(outcome.errors)")
  }

  // MARK: Files

  /// The line of Python in a message makes a backbone of what was refused.
  @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: python), "tools/setup.py makes it"))
  func linesOfPythonWork() async throws {
    let folder = try TestFolder()
    let program = """
      import sys
      from safetensors.torch import load_file, save_file
      source, out = sys.argv[1:]
      save_file({'module.' + k: v for k, v in load_file(source).items()}, out + '/prefixed.safetensors')
      """
    try run(Self.python, ["-c", program, Command.backbone, folder.path], in: folder)
    let plain = try SafetensorsFile(path: FilePath(Command.backbone))
    for name in ["prefixed.safetensors"] {
      let path = "\(folder.path)/\(name)"
      let refused = try await Command.run(["info", "--backbone", path, "--heads", "4", "--json"])
      let message = refused.last["message"]?.stringValue ?? ""
      #expect(refused.status == 65, "\(name): \(message)")
      let line = try #require(message.split(separator: "\n").last.map(String.init))
      #expect(line.contains("python3 -c"), "\(name): \(message)")
      try run(
        "/bin/sh", ["-c", line.replacing("python3", with: Self.python, maxReplacements: 1)], in: folder)
      let made = folder.path + "/OUT.safetensors"
      #expect(try await Command.run(["info", "--backbone", made, "--heads", "4"]).status == 0, "\(name)")
      let file = try SafetensorsFile(path: FilePath(made))
      #expect(file.names == plain.names)
      #expect(file.contentHash == plain.contentHash, "\(name)")
      try FileManager.default.removeItem(atPath: made)
    }
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
