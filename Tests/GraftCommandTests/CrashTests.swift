// swift-format-ignore-file: NeverForceUnwrap

import Foundation
import Graft
import Testing

/// A training run loses nothing: not to `kill -9`, a full disk, a folder that cannot be written, or a second process.
@Suite(.serialized, .enabled(if: Command.isBuilt, "build the command first: swift build --product graft"))
struct CrashTests {
  /// `GRAFT_KILLS=200` for a long night.
  static let kills = ProcessInfo.processInfo.environment["GRAFT_KILLS"].flatMap(Int.init) ?? 5

  /// What a run leaves, whatever happened to it on the way.
  static let files = [
    "adapter_model.safetensors", "adapter_config.json", "best/adapter_model.safetensors",
    "best/adapter_config.json", "checkpoint.safetensors", "metrics.jsonl",
  ]

  // MARK: kill -9

  @Test func killedRunsResumeToTheSameBytes() async throws {
    let folder = try TestFolder()
    let task = try Task(folder)
    var start: ContinuousClock.Instant?
    let whole = try await task.train("whole") { _, output in
      if start == nil, output.contains("\"event\":\"step\"") { start = .now }
    }
    #expect(whole.status == 0, "\(whole.errors)")
    let seconds = start.map { (ContinuousClock.now - $0) / .seconds(1) / 16 } ?? 0.1
    let expected = try Self.files.map { try folder.bytes("whole/" + $0) }

    var (killed, inWrites, before, runs) = (0, 0, 0, 0)
    while killed < Self.kills {
      runs += 1
      let name = "run\(runs)"
      // A run is killed a few times on its way, then left alone.
      for _ in 0..<min(5, Self.kills - killed) {
        let isOver = try await task.trainAndKill(name, pass: seconds) == false
        killed += isOver ? 0 : 1
        inWrites += task.isWriting(name) ? 1 : 0
        // What is there is whole.
        if folder.exists(name + "/checkpoint.safetensors") {
          let file = try SafetensorsFile(path: FilePath(folder.path + "/\(name)/checkpoint.safetensors"))
          for tensor in file.names { _ = try file.floats(tensor, requireFinite: true) }
        } else {
          before += 1
        }
        for adapter in [name, name + "/best"] where folder.exists(adapter + "/adapter_config.json") {
          let adapter = try AdapterFolder(path: FilePath(folder.path + "/" + adapter))
          for tensor in adapter.weights.names { _ = try adapter.weights.floats(tensor, requireFinite: true) }
        }
        if isOver { break }
      }
      let end = try await task.train(name, ["--resume"])
      #expect(end.status == 0, "\(name): \(end.errors)")
      for (file, bytes) in zip(Self.files, expected) {
        #expect(try folder.bytes("\(name)/\(file)") == bytes, "\(name)/\(file)")
      }
      let left = try FileManager.default.subpathsOfDirectory(atPath: folder.path + "/" + name)
      #expect(Set(left) == Set(Self.files + ["best"]), "nothing is left behind")
      try FileManager.default.removeItem(atPath: folder.path + "/" + name)
    }
    print(
      "\(killed) kills in \(runs) runs: \(inWrites) inside a write, \(before) before the first checkpoint"
    )
  }

  // MARK: Outputs that cannot be written

  @Test func aSecondProcessIsRefused() async throws {
    let folder = try TestFolder()
    let task = try Task(folder)
    // Stopped in the middle, a process still has its folder.
    let first = try task.start("run", ["--epochs", "40"])
    defer { first.terminate() }
    while !folder.exists("run/checkpoint.safetensors"), first.isRunning { usleep(2000) }
    try Self.stop(first)
    let before = try Self.contents(folder.path + "/run")
    let second = try await task.train("run", ["--epochs", "40", "--resume"])
    #expect(second.status == 73 && second.isError("another run is training into it"), "\(second.errors)")
    #expect(try Self.contents(folder.path + "/run") == before)
    kill(first.processIdentifier, SIGCONT)
    first.waitUntilExit()
    #expect(first.terminationStatus == 0)
  }

  @Test(.enabled(if: Disk.canBeSmall, Disk.whyNot)) func aFullDiskKeepsTheLastCheckpoint() async throws {
    let folder = try TestFolder()
    let task = try Task(folder)
    let disk = try Disk(at: folder.path + "/disk", kibibytes: 512)
    defer { disk.remove() }
    let first = try await task.train("disk/run", ["--epochs", "2"])
    #expect(first.status == 0, "\(first.errors)")
    let before = try Self.contents(folder.path + "/disk/run")
    // Too little room is seen before the first step.
    try disk.fill(leaving: 4096)
    let early = try await task.train("disk/other")
    #expect(early.status == 73 && early.isError("disk/other"), "\(early.errors)")
    // And room that is used up on the way, when it is needed.
    try FileManager.default.removeItem(atPath: folder.path + "/disk/fill")
    let late = try await task.train("disk/late", ["--epochs", "40"]) { _, output in
      if output.contains("\"event\":\"epoch\""), !folder.exists("disk/fill") { try? disk.fill(leaving: 0) }
    }
    #expect(late.status == 73 && late.isError("disk/late"), "\(late.errors)")
    #expect(try Self.contents(folder.path + "/disk/run") == before)
    let kept = try SafetensorsFile(path: FilePath(folder.path + "/disk/late/checkpoint.safetensors"))
    for tensor in kept.names { _ = try kept.floats(tensor, requireFinite: true) }
    // With room again it goes on.
    try FileManager.default.removeItem(atPath: folder.path + "/disk/fill")
    let rest = try await task.train("disk/late", ["--epochs", "40", "--resume"])
    #expect(rest.status == 0, "\(rest.errors)")
  }

  @Test(.enabled(if: Disk.canBeSmall, Disk.whyNot)) func aReadOnlyFolderIsNamed() async throws {
    let folder = try TestFolder()
    let task = try Task(folder)
    let disk = try Disk(at: folder.path + "/disk", kibibytes: 512)
    defer { disk.remove() }
    let first = try await task.train("disk/run", ["--epochs", "1"])
    #expect(first.status == 0, "\(first.errors)")
    try disk.makeReadOnly()
    for name in ["disk/run", "disk/new"] {
      let refused = try await task.train(name, ["--epochs", "1", "--resume"])
      #expect(refused.status == 73 && refused.isError(name), "\(refused.errors)")
    }
  }

  /// Stops a process and waits until it has: a signal only asks, and a write that has begun goes on.
  private static func stop(_ process: Process) throws {
    let id = process.processIdentifier
    try #require(kill(id, SIGSTOP) == 0)
    var stopped = siginfo_t()
    try #require(waitid(P_PID, id_t(id), &stopped, WSTOPPED | WNOWAIT) == 0)
  }

  private static func contents(_ path: String) throws -> [String: Data] {
    let names = try FileManager.default.subpathsOfDirectory(atPath: path)
    return Dictionary(
      uniqueKeysWithValues: names.map {
        ($0, (try? Data(contentsOf: URL(fileURLWithPath: path + "/" + $0))) ?? Data())
      })
  }
}

extension CrashTests {
  /// A training task of well under a second: many small passes, so that much of the time goes into checkpoints.
  struct Task {
    let folder: TestFolder

    init(_ folder: TestFolder) throws {
      self.folder = folder
      try folder.writeData("data", train: 4, val: 1)
      try TinyBackbone.write(to: folder.path + "/vit.safetensors")
    }

    func arguments(_ name: String, _ more: [String]) -> [String] {
      let epochs = more.contains("--epochs") ? [] : ["--epochs", "16"]
      return [
        "train", "--backbone", folder.path + "/vit.safetensors", "--heads", "2", "--data",
        folder.path + "/data", "--adapter", "ila", "--set", "locations=[0]", "--set", "bottleneck=4",
        "--batch-size", "6", "--out", "\(folder.path)/\(name)", "--json",
      ] + epochs + more
    }

    func train(
      _ name: String, _ more: [String] = [],
      while running: ((_ process: Process, _ output: String) -> Void)? = nil
    ) async throws -> Command.Outcome {
      try await Command.run(arguments(name, more), while: running)
    }

    /// Starts a run that nobody waits for.
    func start(_ name: String, _ more: [String] = []) throws -> Process {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: Command.path)
      process.arguments = arguments(name, more)
      process.standardOutput = FileHandle.nullDevice
      process.standardError = FileHandle.nullDevice
      process.standardInput = FileHandle.nullDevice
      try process.run()
      return process
    }

    /// Continues a run and kills it at a random moment.
    ///
    /// One in five anywhere from its start; two after some passes and a moment; two as soon as a file is being written
    /// then. Passes are counted, not seconds: a busy machine would else have most runs die before their first.
    ///
    /// - Parameter seconds: about how long a pass takes.
    /// - Returns: false when the run was over first.
    func trainAndKill(_ name: String, pass seconds: Double) async throws -> Bool {
      let kind = Int.random(in: 0..<5)
      let passes = kind == 0 ? 0 : Int.random(in: 0...5)
      let delay = UInt32(Double.random(in: 0...1) * (kind == 0 ? 5 : 1) * seconds * 1e6)
      var isCounting = false
      let outcome = try await Command.run(arguments(name, ["--resume"])) { process, output in
        let done = output.components(separatedBy: "\"event\":\"epoch\"").count - 1
        guard !isCounting, kind == 0 || output.contains("\"event\":\"step\""), done >= passes else { return }
        isCounting = true
        usleep(delay)
        while kind > 2, !isWriting(name), process.isRunning {}
        kill(process.processIdentifier, SIGKILL)
      }
      return outcome.crashed
    }

    /// Whether some file of a run is half written.
    func isWriting(_ name: String) -> Bool {
      ["", "/best"].contains { sub in
        let names = try? FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/\(name)\(sub)")
        return names?.contains { $0.hasSuffix(".tmp") } ?? false
      }
    }
  }

  /// A small file system of its own.
  struct Disk {
    let path: String

    /// Mounting needs root, and a container may forbid it even then.
    static let canBeSmall: Bool = {
      guard geteuid() == 0, let folder = try? TestFolder(),
        let disk = try? Disk(at: folder.path + "/disk", kibibytes: 64)
      else { return false }
      disk.remove()
      return true
    }()
    static let whyNot: Comment = "a small tmpfs cannot be mounted: that needs root"

    init(at path: String, kibibytes: Int) throws {
      self.path = path
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      try Self.call("mount", "-t", "tmpfs", "-o", "size=\(kibibytes)k", "tmpfs", path)
    }

    func makeReadOnly() throws { try Self.call("mount", "-o", "remount,ro", path) }

    func remove() { try? Self.call("umount", "-l", path) }

    /// Takes all room but so many bytes.
    func fill(leaving bytes: Int) throws {
      var status = statvfs()
      guard statvfs(path, &status) == 0 else { return }
      let free = Int(status.f_bavail) * Int(status.f_frsize)
      try Data(count: max(0, free - bytes)).write(to: URL(fileURLWithPath: path + "/fill"))
    }

    private struct Failure: Error {}

    private static func call(_ arguments: String...) throws {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
      process.arguments = arguments
      process.standardError = FileHandle.nullDevice
      try process.run()
      process.waitUntilExit()
      guard process.terminationStatus == 0 else { throw Failure() }
    }
  }
}

/// Random weights of a ViT so small that its runs take no time: 16 pixels in patches of 4, width 16, two blocks.
enum TinyBackbone {
  static func write(to path: String) throws {
    var shapes: [(String, [Int])] = [
      ("cls_token", [1, 1, 16]), ("pos_embed", [1, 17, 16]), ("patch_embed.proj.weight", [16, 3, 4, 4]),
      ("patch_embed.proj.bias", [16]), ("norm.weight", [16]), ("norm.bias", [16]),
    ]
    for block in 0..<2 {
      for (name, outputs, inputs) in [
        ("attn.qkv", 48, 16), ("attn.proj", 16, 16), ("mlp.fc1", 32, 16), ("mlp.fc2", 16, 32),
      ] {
        shapes.append(("blocks.\(block).\(name).weight", [outputs, inputs]))
        shapes.append(("blocks.\(block).\(name).bias", [outputs]))
      }
      for norm in ["norm1", "norm2"] {
        shapes.append(("blocks.\(block).\(norm).weight", [16]))
        shapes.append(("blocks.\(block).\(norm).bias", [16]))
      }
    }
    var seed: UInt64 = 1
    try Safetensors.write(
      shapes.map { name, shape in
        let values = (0..<shape.reduce(1, *)).map { _ in
          seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
          return Float(Int64(bitPattern: seed) >> 40) / Float(1 << 23) * 0.3
        }
        let isScale = name.contains("norm") && name.hasSuffix("weight")
        return .init(name: name, shape: shape, values: isScale ? values.map { 1 + $0 } : values)
      }, metadata: [:], to: FilePath(path))
  }
}
