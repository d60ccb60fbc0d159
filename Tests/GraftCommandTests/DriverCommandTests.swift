import Foundation
import Graft
import Testing

private enum PoCL {
  static let file = "/etc/OpenCL/vendors/pocl.icd"
  static var isInstalled: Bool { FileManager.default.fileExists(atPath: file) }
}

/// Environments in which a driver is installed and of no use, or a cache cannot be written.
@Suite(
  .serialized, .enabled(if: Command.isBuilt, "build the command first: swift build --product graft"),
  .enabled(if: PoCL.isInstalled, "PoCL is not installed"))
struct DriverCommandTests {
  /// A folder with PoCL alone, and what else is said.
  private func vendors(_ others: [String: String] = [:]) throws -> TestFolder {
    let folder = try TestFolder()
    try folder.write(Data(contentsOf: URL(fileURLWithPath: PoCL.file)), to: "pocl.icd")
    for (name, text) in others { try folder.write(Data(text.utf8), to: name) }
    return folder
  }

  /// This environment and no other of what the drivers read.
  private func environment(_ more: [String: String?], _ vendors: TestFolder) -> [String: String?] {
    let plain: [String: String?] = [
      "OCL_ICD_VENDORS": vendors.path, "OCL_ICD_FILENAMES": nil, "OPENCL_VENDOR_PATH": nil,
      "POCL_CACHE_DIR": nil,
      "POCL_DEVICES": nil, "POCL_KERNEL_CACHE": nil, "XDG_CACHE_HOME": nil, "GRAFT_DEVICE": nil,
    ]
    return plain.merging(more) { $1 }
  }

  // MARK: No device

  @Test(arguments: [
    (["HOME": "/dev/null"], "/dev/null/.cache: Not a directory"),
    (["HOME": "/proc/none"], "/proc/none: No such file"),
    (["XDG_CACHE_HOME": "/proc/none"], "/proc/none/pocl/kcache cannot be made"),
    (["POCL_CACHE_DIR": "/proc/none"], "/proc/none cannot be made"),
  ])
  func cacheThatCannotBeMade(_ variables: [String: String], _ words: String) async throws {
    let vendors = try vendors()
    let plain = environment(variables, vendors)
    let refused = try await Command.run(["devices", "--json"], environment: plain)
    #expect(refused.status == 69 && !refused.crashed, "\(refused.errors)")
    for words in ["Portable Computing Language", vendors.path + "/pocl.icd", words, "POCL_CACHE_DIR=FOLDER"] {
      #expect(refused.isError(words), "\(words): \(refused.errors)")
    }
    #expect(!refused.errors.contains("apt-get"))
    let event = refused.lines.first ?? nil
    #expect(event?["event"] == "driver" && event?["platform"] == "Portable Computing Language")
    #expect(event?["file"]?.stringValue == vendors.path + "/pocl.icd")

    // The advice works.
    let advised = plain.merging(["POCL_CACHE_DIR": vendors.path + "/cache"]) { $1 }
    let found = try await Command.run(["devices"], environment: advised)
    #expect(found.status == 0 && found.output.hasPrefix("0: ") && found.errors.isEmpty, "\(found.errors)")
  }

  @Test func vendorsThatAreNotThere() async throws {
    let folder = try TestFolder()
    try folder.write(Data("libnothing_here.so.1\n".utf8), to: "broken/broken.icd")
    try folder.write(Data(), to: "broken/empty.icd")
    for (name, value, words) in [
      ("OCL_ICD_VENDORS", "/nowhere", ["/nowhere", "No such file", "Unset OCL_ICD_VENDORS"]),
      ("OCL_ICD_VENDORS", folder.path, ["no .icd file", "Unset OCL_ICD_VENDORS"]),
      ("OCL_ICD_VENDORS", "nothing.icd", ["vendors/nothing.icd", "Unset OCL_ICD_VENDORS"]),
      (
        "OPENCL_VENDOR_PATH", "/nowhere",
        ["/nowhere: this folder cannot be read", "Unset OPENCL_VENDOR_PATH"]
      ),
      (
        "OCL_ICD_VENDORS", folder.path + "/broken",
        ["broken.icd (libnothing_here.so.1)", "cannot open shared object", "empty.icd: its first line"]
      ),
    ] {
      let variables = environment(["OCL_ICD_VENDORS": nil], folder).merging([name: value]) { $1 }
      let refused = try await Command.run(
        ["predict", "--model", "x", "y.png", "--json"], environment: variables)
      #expect(refused.status == 69, "\(refused.errors)")
      for words in words { #expect(refused.isError(words), "\(words): \(refused.errors)") }
      let unset = variables.merging([name: nil]) { $1 }
      #expect(try await Command.run(["devices"], environment: unset).status == 0)
    }
  }

  // MARK: Some device

  @Test func brokenBesideGood() async throws {
    let vendors = try vendors(["broken.icd": "libnothing_here.so.1\n", "esc\u{1B}.icd": "", "other.txt": "x"])
    let people = try await Command.run(["devices"], environment: environment([:], vendors))
    #expect(people.status == 0 && people.output.hasPrefix("0: ") && !people.output.contains("Driver:"))
    let remarks = people.errors.split(separator: "\n").filter { $0.hasPrefix("Driver: ") }
    #expect(
      remarks.count == 2 && remarks[0].contains("broken.icd (libnothing_here.so.1): it cannot be opened"))
    #expect(remarks.last?.contains(#"esc\u{1b}.icd: its first line"#) == true)
    for verb in [["devices"], ["doctor", "transpose"]] {
      let script = try await Command.run(verb + ["--json"], environment: environment([:], vendors))
      let events = script.lines.compactMap { $0 }.filter { $0["event"] == "driver" }
      #expect(script.status == 0 && script.last["event"] == "done" && events.count == 2)
      #expect(events.first?["library"] == "libnothing_here.so.1" && events.first?["advice"] != nil)
    }
  }

  /// PoCL lists its device and compiles nothing.
  @Test func cacheThatCannotBeWritten() async throws {
    let vendors = try vendors()
    let variables = environment(["POCL_CACHE_DIR": "/proc/self"], vendors)
    let listed = try await Command.run(["devices"], environment: variables)
    #expect(listed.status == 0 && listed.errors.contains("no kernel compiles on it"), "\(listed.errors)")
    let report = try await Command.run(["doctor", "transpose"], environment: variables)
    #expect(
      report.status == 70 && report.output.contains("PoCL: its cache folder /proc/self cannot be written"))
  }

  /// PoCL 3.1 aborts on it.
  @Test func emptyCacheVariableCountsAsNone() async throws {
    let vendors = try vendors()
    let variables = environment(["POCL_CACHE_DIR": ""], vendors)
    let outcome = try await Command.run(["devices"], environment: variables)
    #expect(outcome.status == 0 && !outcome.crashed)
  }

  // MARK: Graft's own caches

  @Test func worksWithoutCaches() async throws {
    let vendors = try vendors()
    let kept = vendors.path + "/cache"
    for variables: [String: String?] in [
      ["HOME": nil, "USER": nil, "TMPDIR": "/proc/none", "GRAFT_TUNING": ""],
      ["HOME": "/dev/null", "GRAFT_TUNING": "/proc/none"],
      ["HOME": "", "XDG_CACHE_HOME": "relative", "GRAFT_TUNING": "/dev/null"],
      ["XDG_CACHE_HOME": "/proc/none", "GRAFT_PROGRAM_CACHE": "/proc/none"],
      ["GRAFT_PROGRAM_CACHE": "/dev/null"],
    ] {
      let all = environment(variables, vendors).merging(["POCL_CACHE_DIR": kept]) { $1 }
      let outcome = try await Command.run(["doctor", "transpose"], environment: all)
      #expect(outcome.status == 0, "\(variables): \(outcome.output) \(outcome.errors)")
    }
  }

  @Test func emptyProgramCacheVariableCountsAsNone() async throws {
    let vendors = try vendors()
    let variables = environment(["GRAFT_PROGRAM_CACHE": ""], vendors)
    let report = try await Command.run(["doctor", "transpose"], environment: variables)
    #expect(report.status == 0 && report.output.contains("Compiled kernels: kept by the driver"))
  }

  @Test func tuningThatCannotBeKeptIsPrinted() async throws {
    for folder in ["/proc/none", "/dev/null/x"] {
      let arguments = ["tune", "--backbone", Command.backbone, "--batch-size", "1", "--time-limit", "5"]
      let outcome = try await Command.run(arguments, environment: ["GRAFT_TUNING": folder])
      #expect(outcome.status == 73 && outcome.output.contains("default, ms"), "\(outcome.errors)")
      #expect(outcome.errors.hasPrefix("The result will be printed and not remembered: \(folder)"))
      #expect(outcome.errors.contains("Error: \(folder)") && !outcome.output.contains("emembered"))
    }
  }
}
