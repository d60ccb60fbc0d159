import Foundation
import GraftSystem
import Testing

@testable import GraftRuntime

/// What is said of drivers that give no device.
@Suite struct DriverFindingTests {
  // MARK: Where the loader looks

  private func places(isOCLICD: Bool = true, _ environment: [String: String]) -> [DriverPlace] {
    DriverPlace.places(isOCLICD: isOCLICD) { environment[$0].flatMap { $0.isEmpty ? nil : FilePath($0) } }
  }
  private func path(_ text: String) -> FilePath { FilePath(text) }

  @Test func placesOfOCLICD() {
    let standard = DriverPlace.folder(path("/etc/OpenCL/vendors"))
    #expect(places([:]) == [standard])
    #expect(places(["OCL_ICD_VENDORS": "", "OPENCL_VENDOR_PATH": ""]) == [standard])
    #expect(places(["OCL_ICD_FILENAMES": "a.so"]) == [standard])
    #expect(places(["OPENCL_VENDOR_PATH": "/v"]) == [.folder(path("/v"))])
    #expect(places(["OCL_ICD_VENDORS": "/", "OPENCL_VENDOR_PATH": "/v"]) == [.folder(path("/"))])
    #expect(places(["OCL_ICD_VENDORS": "/x/a.icd"]) == [.file([path("/x/a.icd")])])
    #expect(
      places(["OCL_ICD_VENDORS": "a.icd", "OPENCL_VENDOR_PATH": "/v"])
        == [.file([path("/v/a.icd"), path("a.icd")])])
    #expect(places(["OCL_ICD_VENDORS": "/nowhere"]) == [.library(path("/nowhere"))])
  }

  @Test func placesOfKhronosLoader() {
    #expect(
      places(isOCLICD: false, ["OCL_ICD_FILENAMES": "a.so:/b.so", "OCL_ICD_VENDORS": "/v.icd"])
        == [.library(path("a.so")), .library(path("/b.so")), .folder(path("/v.icd"))])
    #expect(places(isOCLICD: false, [:]) == [.folder(path("/etc/OpenCL/vendors"))])
  }

  // MARK: What is there

  @Test func firstLineOfAnICDFile() throws {
    let folder = try Folder()
    func line(_ text: String) throws -> String {
      try Data(text.utf8).write(to: folder.url.appendingPathComponent("a.icd"))
      switch DriverSearch.firstLine(of: path(folder.path("a.icd"))) {
      case .success(let library): return library.string
      case .failure(let fault): return "! " + fault.reason
      }
    }
    #expect(try line("libA.so\nlibB.so\n") == "libA.so")
    #expect(try line("libA.so") == "libA.so")
    #expect(try line(" libA.so\r\n") == " libA.so\r")
    for text in ["", "\n", "\0libA.so"] { #expect(try line(text).hasPrefix("! its first line")) }
    #expect(try line(String(repeating: "x", count: 1 << 20)).hasSuffix("too long for a name"))
  }

  @Test func madeUpFolder() throws {
    let folder = try Folder()
    for (name, text) in [
      ("broken.icd", "libnothing_here.so.1\n"), ("empty.icd", ""), ("text.icd", folder.path("empty.icd")),
      ("math.icd", "libm.so.6\n"), ("readme.txt", "nothing"), (".icd", "nothing"),
    ] {
      try Data(text.utf8).write(to: folder.url.appendingPathComponent(name))
    }
    // Nobody writes to it: reading must not wait.
    #expect(mkfifo(folder.path("pipe.icd"), 0o600) == 0)
    let findings = DriverFinding.all(in: [.folder(path(folder.path))]).filter { $0.platform == nil }
    #expect(
      findings.map(\.file)
        == ["broken", "empty", "math", "pipe", "text"].map { folder.path("\($0).icd") })
    #expect(
      findings.map(\.library) == ["libnothing_here.so.1", nil, "libm.so.6", nil, folder.path("empty.icd")])
    let words = [
      "libnothing_here.so.1: cannot open shared object file", "names no library",
      "no OpenCL driver", "not a regular file", "file too short",
    ]
    for (finding, words) in zip(findings, words) {
      #expect(finding.reason.contains(words), "\(finding)")
      #expect(!finding.advice.isEmpty)
    }
  }

  @Test func foldersThatHoldNothing() throws {
    let folder = try Folder()
    let empty = DriverFinding.all(in: [.folder(path(folder.path))]).first
    #expect(empty?.file == folder.path && empty?.reason == "no .icd file is in this folder")
    let missing = DriverFinding.all(in: [.folder(path("/nowhere"))]).first
    #expect(missing?.reason == "this folder cannot be read: No such file or directory")
    let library = DriverFinding.all(in: [.library(path("/nowhere"))]).first
    #expect(library?.reason.hasPrefix("neither a folder nor an .icd file") == true)
    // The first that works is enough; here none does, and each is named.
    let files = DriverFinding.all(in: [.file([path("/a/x.icd"), path("x.icd")])])
    #expect(files.filter { $0.platform == nil }.map(\.file) == ["/a/x.icd", "x.icd"])
  }

  @Test func theDriversInUseNeedNoWord() throws {
    let used = Set(try Device.all().map(\.traits.platform))
    #expect(!DriverFinding.all().contains { $0.platform.map(used.contains) ?? false })
  }

  // MARK: Platforms

  @Test func platformWithoutDevices() throws {
    let watch = CallWatch()
    watch.arm(CallWatch.Fault("clGetDeviceIDs", occurrence: 1, status: -2, lasts: true))
    let error = #expect(throws: RuntimeError.self) { try watch { try Device.all() } }
    guard case .noDevice(let findings)? = error else {
      return #expect(Bool(false), "\(String(describing: error))")
    }
    // Whatever is asked after that fails as well: the loader itself is named.
    #expect(findings.contains { $0.reason.contains("CL_DEVICE_NOT_AVAILABLE (-2)") }, "\(findings)")
    let text = "\(try #require(error))"
    #expect(text.hasPrefix("No OpenCL device was found.\n"))
  }

  @Test func oneDeviceThatFails() throws {
    let watch = CallWatch()
    watch.arm(CallWatch.Fault("clGetDeviceInfo", occurrence: 1, status: -6))
    let findings = watch { DriverFinding.all(in: []) }
    let finding = try #require(findings.first)
    #expect(finding.platform != nil && finding.reason.contains("clGetDeviceInfo: CL_OUT_OF_HOST_MEMORY"))
    watch.arm(CallWatch.Fault("clGetDeviceIDs", occurrence: 1, status: -33))
    let platform = try #require(watch { DriverFinding.all(in: []) }.first)
    #expect(
      platform.platform != nil && platform.reason.contains("no device (clGetDeviceIDs: CL_INVALID_DEVICE"))
  }

  // MARK: PoCL's cache

  @Test(arguments: [
    (["POCL_CACHE_DIR": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"], "/a"),
    (["XDG_CACHE_HOME": "/b", "HOME": "/c"], "/b/pocl/kcache"),
    (["XDG_CACHE_HOME": "b"], "b/pocl/kcache"),
    (["XDG_CACHE_HOME": "", "HOME": "/c"], "/c/.cache/pocl/kcache"),
    (["HOME": "/c", "POCL_KERNEL_CACHE": "0"], "/c/.cache/pocl/uncached"),
    (["HOME": ""], "/.cache/pocl/kcache"), ([:], "/tmp/pocl/kcache"),
  ])
  func cacheFolder(_ environment: [String: String], _ folder: String) {
    #expect(PoCLCache.folder { environment[$0].map(path) } == FilePath(folder))
  }

  @Test func cacheFault() throws {
    func fault(_ folder: String) -> String? {
      PoCLCache.fault { $0 == "POCL_CACHE_DIR" ? path(folder) : nil }
    }
    let folder = try Folder()
    #expect(fault(folder.path("a/b")) == nil)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path("a/b")).isEmpty)
    #expect(fault("/proc/none/x")?.hasSuffix("/proc/none: No such file or directory") == true)
    #expect(fault("/dev/null/x")?.hasSuffix("/dev/null/x: Not a directory") == true)
    #expect(fault("/dev/null")?.hasSuffix("/dev/null cannot be written: Not a directory") == true)
    #expect(fault("/proc/self")?.contains("/proc/self cannot be written") == true)
  }

  // MARK: Words

  @Test func wordsAreSafeToPrint() {
    let finding = DriverFinding(
      file: "/v/\u{1B}[31m.icd", library: "lib\r", platform: "Bad\u{202E}", reason: "it\nlies",
      advice: "Do.")
    #expect(
      "\(finding)" == #"Bad\u{202e} (/v/\u{1b}[31m.icd, lib\u{d}): it\u{a}lies. Do."#)
    let long = DriverFinding(reason: String(repeating: "x", count: 1 << 20), advice: "Do.")
    #expect("\(long)".count < 1100)
  }

  @Test func whoHasAPlatformIsToldOfItAlone() {
    let file = DriverFinding(file: "/v/a.icd", reason: "it is bad", advice: "Do.")
    var platform = file
    platform.platform = "PoCL"
    #expect("\(RuntimeError.noDevice([file]))".contains("\n  /v/a.icd: it is bad. Do.\nGraft runs through"))
    #expect("\(RuntimeError.noDevice([file, platform]))".hasSuffix("\n  PoCL (/v/a.icd): it is bad. Do."))
  }
}

/// A folder that goes away with the value.
private final class Folder {
  let url = FileManager.default.temporaryDirectory.appendingPathComponent("graft-\(UUID().uuidString)")
  var path: String { url.path }

  init() throws { try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true) }
  deinit { try? FileManager.default.removeItem(at: url) }

  func path(_ name: String) -> String { "\(path)/\(name)" }
}
