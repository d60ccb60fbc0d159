import Foundation
import GraftSystem
import Testing

@testable import GraftRuntime

/// Defaults suit their devices, and a file can only ever improve on them.
@Suite struct TuningTests {
  /// A device of some kind, with what is typical of it.
  static func traits(
    _ kind: DeviceTraits.Kind, _ vendor: String, _ name: String = "device", group: Int = 256,
    local: Int = 32 << 10, vectors: Int = 1, chip: String? = nil, quirks: [DeviceTraits.Quirk] = []
  ) -> DeviceTraits {
    DeviceTraits(
      name: name, vendor: vendor, platform: "platform", driverVersion: "1.2", version: "OpenCL 1.2",
      languageVersion: "OpenCL C 1.2", kind: kind, computeUnits: 8, maxWorkGroupSize: group,
      maxWorkItemSizes: [group, group, group], localMemory: local, globalMemory: 1 << 32,
      maxAllocation: 1 << 30, subBufferAlignment: 128, vectorWidth: vectors, hasHalf: false,
      hasSubgroups: false, hasDotProduct: false, chip: chip, quirks: quirks)
  }

  static let wide = traits(.cpu, "GenuineIntel", "wide", group: 4096, local: 512 << 10, vectors: 16)
  static let narrow = traits(.cpu, "AuthenticAMD", "narrow", group: 4096, local: 512 << 10, vectors: 8)
  static let nvidia = traits(.gpu, "NVIDIA Corporation", group: 1024, local: 48 << 10)
  static let intel = traits(.gpu, "Intel(R) Corporation", "Intel(R) Arc(TM) A770", local: 64 << 10)
  static let mali = traits(.gpu, "ARM", "Mali-G78 r0p1")
  static let adreno = traits(.gpu, "QUALCOMM", "QUALCOMM Adreno(TM)", group: 1024)
  static let devices = [
    wide, narrow, nvidia, intel, mali, adreno,
    traits(.gpu, "Advanced Micro Devices, Inc.", "gfx1030", local: 64 << 10),
    traits(.gpu, "Mesa", "Mali-G610 (Panfrost)"),
    traits(.cpu, "Mesa", "llvmpipe", group: 1024, quirks: [.slowPrivateVectors]),
    traits(.accelerator, "Xilinx"), traits(.other, "nobody", group: 1, local: 1 << 10),
    traits(.gpu, "Broadcom", "V3D", group: 12, local: 16 << 10), traits(.cpu, "small", local: 4 << 10),
  ]

  @Test(arguments: devices)
  func defaultsAreWithinLimits(_ traits: DeviceTraits) {
    #expect(Tuning.default(for: traits).fault(on: traits) == nil)
    #expect(Tuning.default(for: traits).arithmetic(on: traits) == nil)
  }

  /// What PoCL has always used.
  @Test func defaultsOfCPUs() {
    let (wide, narrow) = (Tuning.default(for: Self.wide), Tuning.default(for: Self.narrow))
    #expect((wide.matmul.rows, wide.matmul.panel, wide.attention.vectors) == (12, 32, 4))
    #expect((narrow.matmul.rows, narrow.matmul.panel, narrow.attention.vectors) == (6, 16, 1))
    for tuning in [wide, narrow] {
      #expect(tuning.matmul.variant == .cpuRegisterTiled && tuning.matmul.blockBytes == 1 << 20)
      #expect((tuning.attention.forwardKeys, tuning.attention.backwardKeys) == (256, 128))
      #expect(tuning.attention.itemsPerCore == 4)
    }
    // A GPU's driver on a CPU is programmed as a GPU.
    #expect(Tuning.default(for: Self.devices[8]).matmul.variant == .localMemoryTiled)
  }

  @Test func defaultsOfGPUsFollowTheMaker() {
    for traits in Self.devices where traits.kind == .gpu {
      #expect(Tuning.default(for: traits).matmul.variant == .localMemoryTiled)
    }
    // Large tiles where registers and local memory allow two groups a core.
    #expect("\(Tuning.default(for: Self.nvidia).matmul.many)" == "128x128 8x8 depth 8 ahead 2 buffers 2")
    #expect("\(Tuning.default(for: Self.devices[6]).matmul.many)" == "128x128 8x8 depth 8 ahead 0 buffers 2")
    #expect("\(Tuning.default(for: Self.mali).matmul.many)" == "32x32 4x4 depth 8 ahead 1 buffers 1")
    // Mesa names the maker in the device's name alone.
    #expect(Tuning.default(for: Self.devices[7]) == Tuning.default(for: Self.mali))
  }

  static let faults: [(String, @Sendable (inout Tuning) -> Void)] = [
    ("matmul.rows", { $0.matmul.rows = 15 }), ("matmul.rows", { $0.matmul.rows = 0 }),
    ("matmul.panel", { $0.matmul.panel = 24 }), ("matmul.panel", { $0.matmul.panel = 64 }),
    ("matmul.block_bytes", { $0.matmul.blockBytes = .max }),
    ("matmul.few takes 1024 work-items", { $0.matmul.few = MatmulTile(128, 128, item: (4, 4)) }),
    ("matmul.some takes 33.0 KiB", { $0.matmul.some = MatmulTile(128, 128, item: (8, 8), depth: 16) }),
    ("matmul.many is of", { $0.matmul.many.rows = 96 }),
    ("matmul.many is of", { $0.matmul.many.columns = 2 }),
    ("matmul.many is of", { $0.matmul.many.rows = 1 << 40 }),
    ("matmul.few takes 12", { $0.matmul.few.depth = 12 }),
    ("matmul.few takes 8 steps, 3", { $0.matmul.few.ahead = 3 }),
    ("matmul.few takes 8 steps", { $0.matmul.few.buffers = 0 }),
    ("matmul.some computes 0x4", { $0.matmul.some.itemRows = 0 }),
    ("matmul.some computes 4x16", { $0.matmul.some.itemColumns = 16 }),
    ("matmul.lanes", { $0.matmul.lanes.wave = 32 }), ("matmul.lanes", { $0.matmul.lanes.rows = 0 }),
    ("attention.vectors", { $0.attention.vectors = 5 }),
    ("attention.forward_keys", { $0.attention.forwardKeys = 100 }),
    ("attention.backward_keys", { $0.attention.backwardKeys = 1 << 40 }),
    ("attention.items_per_core", { $0.attention.itemsPerCore = 0 }),
    ("attention.tiles.forward: rows", { $0.attention.tiles = AttentionTiles(AttentionTile(rows: 2)) }),
    ("attention.tiles.forward: others", { $0.attention.tiles = AttentionTiles(AttentionTile(others: 16)) }),
    (
      "attention.tiles.keys: part",
      {
        $0.attention.tiles = .init(); $0.attention.tiles?.keys.part = 64
      }
    ),
    (
      "attention.tiles.queries: ahead",
      {
        $0.attention.tiles = .init(); $0.attention.tiles?.queries.ahead = .min
      }
    ),
  ]

  @Test func whatADeviceCannotHoldIsRefused() {
    for (name, change) in Self.faults {
      var tuning = Tuning.default(for: Self.mali)
      change(&tuning)
      #expect(tuning.fault(on: Self.mali)?.hasPrefix(name) == true, "\(name)")
    }
  }

  // MARK: The file

  private func withFolder(_ body: (FilePath) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("graft-\(UUID())")
    defer { try? FileManager.default.removeItem(at: folder) }
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try body(FilePath(folder.path))
  }

  private func changed(_ traits: DeviceTraits) -> Tuning {
    var tuning = Tuning.default(for: traits)
    (tuning.matmul.rows, tuning.attention.forwardKeys) = (5, 112)
    return tuning
  }

  @Test func fileIsReadBack() throws {
    try withFolder { folder in
      var tuning = changed(Self.narrow)
      tuning.matmul.units = MatmulUnits(2, 4, waves: (2, 2), held: 0)
      #expect(Tuning.load(for: Self.narrow, from: folder).origin == .standard)
      let path = TuningFile.path(for: Self.narrow, in: folder)
      let file = TuningFile(tuning, for: Self.narrow, date: "1970-01-01T00:00:00Z")
      try file.text().write(toFile: path.string, atomically: true, encoding: .utf8)
      let loaded = Tuning.load(for: Self.narrow, from: folder)
      #expect(loaded.tuning == tuning)
      #expect(loaded.origin == .file(path: path, date: "1970-01-01T00:00:00Z"))
      #expect("\(loaded.origin)" == "\(path), 1970-01-01T00:00:00Z")
      // Another device, and none wanted.
      #expect(Tuning.load(for: Self.wide, from: folder).tuning == .default(for: Self.wide))
      #expect(Tuning.load(for: Self.narrow, from: nil).origin == .standard)
      let text = try file.text()
      #expect(text.contains("\n    \"matmul\" : {\n") && text.hasSuffix("}\n") && text.utf8.count < 1024)
    }
  }

  /// One of an earlier version says less, and something that is no more.
  @Test func anEarlierFileIsReadAndCompleted() throws {
    try withFolder { folder in
      let path = TuningFile.path(for: Self.nvidia, in: folder)
      let text = """
        {
          "format": 1, "device": "\(Self.nvidia.identity)", "date": "2026-11-25T12:00:00Z",
          "tuning": {
            "matmul": {
              "block_bytes": 1048576, "depth": 32, "group_items": 64, "panel": 16, "rows": 12,
              "variant": "localMemoryTiled"
            },
            "attention": {
              "backward_keys": 128, "forward_keys": 256, "group_items": 128, "items_per_core": 4, "split": 8,
              "tile": 16, "vectors": 4
            }
          }
        }
        """
      try text.write(toFile: path.string, atomically: true, encoding: .utf8)
      let loaded = Tuning.load(for: Self.nvidia, from: folder)
      var expected = Tuning.default(for: Self.nvidia)
      expected.matmul.panel = 16
      #expect(loaded.tuning == expected)
      #expect(loaded.tuning.attention.tiles(on: Self.nvidia) == .default(for: Self.nvidia))
      #expect(loaded.origin == .file(path: path, date: "2026-11-25T12:00:00Z"))
    }
  }

  @Test func namesAreSafeAndTellDevicesApart() {
    let folder = FilePath("/f")
    let names = ["../../etc/passwd", "a b", "a/b", "\u{1B}[2J", String(repeating: "ü", count: 900), ""]
    let paths = names.map { TuningFile.path(for: Self.traits(.gpu, "v", $0), in: folder) }
    #expect(Set(paths).count == names.count)
    for path in paths.map(\.string) {
      let name = path.dropFirst(3)
      #expect(path.hasPrefix("/f/") && name.count < 140 && !name.hasPrefix("."))
      #expect(name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == ".") })
    }
  }

  @Test func anyOtherFileIsIgnoredAndNamed() throws {
    try withFolder { folder in
      let traits = Self.mali
      let path = TuningFile.path(for: traits, in: folder)
      let good = try TuningFile(.default(for: traits), for: traits).text()
      func expect(_ words: String, _ text: String, line: SourceLocation = #_sourceLocation) throws {
        try text.write(toFile: path.string, atomically: true, encoding: .utf8)
        let (tuning, origin) = Tuning.load(for: traits, from: folder)
        #expect(tuning == .default(for: traits), sourceLocation: line)
        #expect("\(origin)".hasPrefix("default; \(path) is ignored: "), "\(origin)", sourceLocation: line)
        #expect("\(origin)".contains(words) && !"\(origin)".contains("\n"), "\(origin)", sourceLocation: line)
      }
      try expect("no tuning", "")
      try expect("no tuning", "\u{0}\u{1}")
      try expect("no tuning", String(good.dropLast(9)))
      try expect("no tuning", String(repeating: "[", count: 60_000))
      try expect("too large", good + String(repeating: " ", count: 1 << 16))
      try expect("format is 3", good.replacingOccurrences(of: "\"format\" : 2", with: "\"format\" : 3"))
      try expect("format is 0", good.replacingOccurrences(of: "\"format\" : 2", with: "\"format\" : 0"))
      try expect("missing", good.replacingOccurrences(of: "\"date\"", with: "\"data\""))
      try expect("missing", good.replacingOccurrences(of: "\"panel\" : 32", with: "\"panel\" : \"32\""))
      try expect("missing", good.replacingOccurrences(of: "\"panel\" : 32", with: "\"panel\" : {}"))
      try expect(
        "missing", good.replacingOccurrences(of: "\"panel\" : 32", with: "\"panel\" : 99999999999999999999"))
      try expect("missing", good.replacingOccurrences(of: "4x4 depth 8", with: "4x4 depth 8 "))
      try expect("missing", good.replacingOccurrences(of: "4x4 depth 8", with: "4x4 depth +8"))
      try expect("missing", good.replacingOccurrences(of: "localMemoryTiled", with: "telepathy"))
      try expect("another device", good.replacingOccurrences(of: "1.2", with: "1.3"))
      let dated = try JSONDecoder().decode([String: AnyJSON].self, from: Data(good.utf8))["date"]?.text ?? "?"
      try expect("no date", good.replacingOccurrences(of: dated, with: "\\u001b[2J"))
      let steering = good.replacingOccurrences(of: dated, with: dated + "\\u001b[2J")
      try steering.write(toFile: path.string, atomically: true, encoding: .utf8)
      #expect(!"\(Tuning.load(for: traits, from: folder).origin)".contains("\u{1B}"))
      for (name, change) in Self.faults {
        var tuning = Tuning.default(for: traits)
        change(&tuning)
        try expect(name, try TuningFile(tuning, for: traits).text())
      }
      if !MatmulVariant.clblast.isAvailable {
        try expect("no clblast", good.replacingOccurrences(of: "localMemoryTiled", with: "clblast"))
      }
      // Neither a folder nor a pipe, which nobody writes to, is waited for.
      try FileManager.default.removeItem(atPath: path.string)
      try FileManager.default.createDirectory(atPath: path.string, withIntermediateDirectories: false)
      #expect("\(Tuning.load(for: traits, from: folder).origin)".contains("not a regular file"))
      try FileManager.default.removeItem(atPath: path.string)
      #expect(mkfifo(path.string, 0o600) == 0)
      #expect("\(Tuning.load(for: traits, from: folder).origin)".contains("not a regular file"))
    }
  }

  /// Text where a value is one.
  private struct AnyJSON: Decodable {
    let text: String?
    init(from decoder: any Decoder) throws {
      text = try? decoder.singleValueContainer().decode(String.self)
    }
  }

  // MARK: Contexts

  @Test func contextsCarryTheirTuning() throws {
    let context = try Context(Device.select())
    #expect(context.tuning == Tuning.load(for: context.traits).tuning)
    var tuning = context.tuning
    tuning.attention.forwardKeys = 48
    let other = context.tuned(tuning)
    #expect(other.tuning == tuning && other.tuningOrigin == .given && other.memory === context.memory)
    #expect(other.rehearsal().tuning == tuning)
    #expect(tuning.arithmetic(on: context.traits) != nil)
    // What changes no bit is no part of what a run depends on.
    tuning = .default(for: context.traits)
    tuning.matmul.rows = 3
    #expect(tuning.arithmetic(on: context.traits) == nil)
  }
}
