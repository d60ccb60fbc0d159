import Foundation
import Graft

/// The built `graft` binary and what it is fed with.
enum Command {
  static let checkout = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent()
    .deletingLastPathComponent().path
  static let backbone = checkout + "/Tests/Fixtures/vit/vit_w64_d6.safetensors"

  /// The binary that was built with the tests: it lies beside their bundle.
  static let path: String = {
    let beside = (Bundle.main.executableURL ?? URL(fileURLWithPath: CommandLine.arguments[0]))
      .deletingLastPathComponent().appendingPathComponent("graft").path
    return FileManager.default.isExecutableFile(atPath: beside) ? beside : checkout + "/.build/debug/graft"
  }()
  static var isBuilt: Bool { FileManager.default.isExecutableFile(atPath: path) }

  /// What a finished process left behind.
  struct Outcome {
    var status: Int32
    var output: String
    var errors: String
    /// True when a signal ended it: a crash.
    var crashed: Bool

    /// Standard output as JSON objects; nil in place of a line that is none.
    var lines: [[String: JSONValue]?] {
      output.split(separator: "\n").map {
        try? JSONDecoder().decode(JSONValue.self, from: Data($0.utf8)).objectValue
      }
    }
    /// The same, whether or not the driver had to compile.
    var answers: [[String: JSONValue]?] { lines.filter { $0?["event"]?.stringValue != "compiling" } }
    var last: [String: JSONValue] { (lines.last ?? nil) ?? [:] }
  }

  /// Runs the command and waits for its end.
  ///
  /// - Parameters:
  ///   - arguments: what follows the program.
  ///   - program: what is run; `graft`.
  ///   - environment: added to the tests' own; `nil` takes a variable out.
  ///   - running: called again and again while it runs, with its output so far.
  static func run(
    _ arguments: [String], of program: String = path, environment: [String: String?] = [:],
    while running: ((_ process: Process, _ output: String) -> Void)? = nil
  ) async throws -> Outcome {
    let folder = try TestFolder()
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    process.environment = (ProcessInfo.processInfo.environment as [String: String?]).merging(
      environment.merging(["COLUMNS": "80"]) { $1 }
    ) { $1 }.compactMapValues { $0 }
    // Files, not pipes: nothing blocks however much is written.
    let (out, err) = (folder.path + "/out", folder.path + "/err")
    for file in [out, err] { try Data().write(to: URL(fileURLWithPath: file)) }
    process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: out))
    process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: err))
    process.standardInput = FileHandle.nullDevice
    try process.run()
    func text(_ file: String) throws -> String {
      String(decoding: try Data(contentsOf: URL(fileURLWithPath: file)), as: UTF8.self)
    }
    while process.isRunning {
      if let running {
        running(process, try text(out))
        // Keeps its thread: a task that sleeps may wait for seconds behind other tests, and the run be over.
        usleep(5000)
      } else {
        try await Task.sleep(for: .milliseconds(10))
      }
    }
    return Outcome(
      status: process.terminationStatus, output: try text(out), errors: try text(err),
      crashed: process.terminationReason == .uncaughtSignal)
  }
}

/// A folder that goes away with the value.
final class TestFolder {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("graft-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: "\(path)/\(name)") }

  func bytes(_ name: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)")) }

  func write(_ bytes: some Sequence<UInt8>, to name: String) throws {
    let url = URL(fileURLWithPath: "\(path)/\(name)")
    try FileManager.default.createDirectory(
      at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(bytes).write(to: url)
  }

  /// Pictures of one colour each with some noise, `train` and `val` under `name`.
  func writeData(_ name: String, classes: [String] = ["blue", "green", "red"], train: Int = 6, val: Int = 3)
    throws
  {
    for (part, count) in [("train", train), ("val", val)] {
      for (label, className) in classes.enumerated() {
        for index in 0..<count {
          var seed = UInt64(label * 1000 + index + (part == "val" ? 500 : 0))
          let pixels = (0..<48 * 48 * 3).map { position in
            seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(seed >> 57) + (position % 3 == label % 3 ? 90 : 30)
          }
          try write(
            PNG.encode(width: 48, height: 48, pixels), to: "\(name)/\(part)/\(className)/\(index).png")
        }
      }
    }
  }
}

/// The smallest PNG writer there is: no compression.
enum PNG {
  static func encode(width: Int, height: Int, _ pixels: [UInt8]) -> [UInt8] {
    var rows: [UInt8] = []
    for row in 0..<height { rows += [0] + pixels[row * width * 3..<(row + 1) * width * 3] }
    var stream: [UInt8] = [0x78, 0x01]
    for start in stride(from: 0, to: rows.count, by: 65_535) {
      let part = rows[start..<min(start + 65_535, rows.count)]
      let (low, high) = (UInt8(part.count & 255), UInt8(part.count >> 8))
      stream += [start + 65_535 >= rows.count ? 1 : 0, low, high, ~low, ~high] + part
    }
    var (a, b) = (UInt32(1), UInt32(0))
    for byte in rows {
      a = (a + UInt32(byte)) % 65_521
      b = (b + a) % 65_521
    }
    stream += bigEndian(b << 16 | a)
    let header = bigEndian(UInt32(width)) + bigEndian(UInt32(height)) + [8, 2, 0, 0, 0]
    return [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a] + chunk("IHDR", header) + chunk("IDAT", stream)
      + chunk("IEND", [])
  }

  private static func bigEndian(_ value: UInt32) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian) { Array($0) }
  }

  private static func chunk(_ name: String, _ bytes: [UInt8]) -> [UInt8] {
    let body = Array(name.utf8) + bytes
    var sum = ~UInt32(0)
    for byte in body { sum = table[Int(UInt8(truncatingIfNeeded: sum) ^ byte)] ^ (sum >> 8) }
    return bigEndian(UInt32(bytes.count)) + body + bigEndian(~sum)
  }

  private static let table: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? 0xEDB8_8320 ^ (value >> 1) : value >> 1 }
  }
}
