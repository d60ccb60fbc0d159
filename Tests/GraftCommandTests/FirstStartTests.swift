import Graft
import Testing

/// The first start on a machine takes long, and says why; no other does.
@Suite(.enabled(if: Command.isBuilt)) struct FirstStartTests {
  @Test func compilingIsToldOfOnce() async throws {
    let folder = try await TestFolder.trained()
    // Only PoCL keeps compiled kernels where a test can take them away.
    let devices = try await Command.run(["devices", "--json"])
    guard devices.output.contains("Portable Computing Language") else { return }

    let script = "\"$GRAFT\" predict --model run --json data/val/red/0.png"
    let environment = ["POCL_CACHE_DIR": folder.path + "/kernels", "GRAFT_DEVICE": "Portable"]
    func events(_ outcome: Command.Outcome) -> [String] {
      outcome.lines.map { $0?["event"]?.stringValue ?? "" }
    }

    let first = try await Command.shell(script, in: folder, environment: environment)
    #expect(first.status == 0 && events(first) == ["compiling", "prediction", "done"], "\(first.output)")
    #expect(!first.errors.contains("ompiling"), "nobody watches: \(first.errors)")
    let second = try await Command.shell(script, in: folder, environment: environment)
    #expect(second.status == 0 && events(second) == ["prediction", "done"], "\(second.output)")
  }

  /// `script` gives the command a terminal.
  @Test func peopleReadIt() async throws {
    let folder = try await TestFolder.trained()
    let run = """
      which script >/dev/null || exit 99
      script -qec '"$GRAFT" predict --model run data/val/red/0.png' /dev/null </dev/null
      """
    let environment = ["POCL_CACHE_DIR": folder.path + "/kernels", "GRAFT_DEVICE": "Portable"]
    let first = try await Command.shell(run, in: folder, environment: environment)
    guard first.status != 99, first.status != 69 else { return }
    #expect(first.output.contains("Compiling kernels for this device, once."), "\(first.output)")
    let second = try await Command.shell(run, in: folder, environment: environment)
    #expect(second.status == 0 && !second.output.contains("ompiling"), "\(second.output)")
  }
}
