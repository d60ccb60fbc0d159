// swift-format-ignore-file: NeverForceUnwrap

import Foundation
import GraftRuntime
import GraftSystem
import Testing

@testable import Graft
@testable import GraftData

/// Hostile input by the thousand: every case is read rightly or refused by a typed error, quickly; a trap ends the process.
///
/// `GRAFT_FUZZ_CASES=1000000 swift test --filter FuzzTests` for the long run; `GRAFT_FUZZ_SEED` for other cases;
/// `tools/fuzz` for cases that are led by what they reach.
@Suite(.serialized) struct FuzzTests {
  private static func number(_ name: String) -> Int? {
    ProcessInfo.processInfo.environment[name].flatMap { Int($0) }
  }
  private static let isLong = number("GRAFT_FUZZ_CASES") != nil
  private static let cases = number("GRAFT_FUZZ_CASES") ?? 10_000
  private static let seed = UInt64(number("GRAFT_FUZZ_SEED") ?? 1)

  /// A file that can be done without was not used.
  private struct Ignored: Error {}

  /// What became of a case that was treated as it should be.
  private enum Outcome { case read, refused }

  /// Reads a case; throws what no reader may throw.
  private static func outcome(of read: () throws -> Void) throws -> Outcome {
    do {
      try read()
      return .read
    } catch is CheckpointError {
    } catch is DataError {
    } catch is GraftError {
    } catch is Ignored {
    }
    return .refused
  }

  /// The cases of a target that `tools/fuzz --keep` has kept.
  private static func kept(_ target: String) throws -> [[UInt8]] {
    let lines = try text(Fixtures.folder / "fuzz/\(target).base64")
    return try lines.split(separator: "\n").map { [UInt8](try #require(Data(base64Encoded: String($0)))) }
  }

  /// Reads `count` cases; none may take a second, some must be refused, and some still be good.
  ///
  /// In the long run, when no other suite runs beside, memory must not grow after the first tenth, at no moment. Under
  /// `tools/fuzz` libFuzzer makes the cases of the target that it was asked for, and ends the process.
  private func fuzz(
    _ target: String, _ count: Int, _ mutator: Mutator, _ read: @escaping ([UInt8]) throws -> Void
  ) throws {
    if let wanted = GuidedFuzzer.target {
      guard wanted == target else { return }
      try GuidedFuzzer.run(mutator.seeds, words: mutator.words) { bytes in
        do { _ = try Self.outcome { try read(bytes) } } catch { fatalError("\(error)") }
      }
    }
    // What reached something new before.
    for known in try Self.kept(target) { _ = try Self.outcome { try read(known) } }
    var mutator = mutator
    var refused = 0
    var most = 0
    let clock = ContinuousClock()
    for number in 0..<count {
      if number == count / 10 { most = ProcessMemory.peakBytes }
      let bytes = mutator.next()
      do {
        var outcome = Outcome.read
        // A busy machine may hold up a case, but not each time.
        let isQuick = try (0..<3).contains { _ in
          let start = clock.now
          outcome = try Self.outcome { try read(bytes) }
          return clock.now - start < .seconds(1)
        }
        if outcome == .refused { refused += 1 }
        guard isQuick else {
          Issue.record("case \(number) of seed \(Self.seed) takes more than a second")
          return
        }
      } catch {
        Issue.record("case \(number) of seed \(Self.seed): \(error)")
        return
      }
    }
    #expect(refused > count / 10 && refused < count, "\(refused) of \(count) were refused")
    if Self.isLong { #expect(ProcessMemory.peakBytes - most < 32 << 20, "held more and more memory") }
  }

  @Test func safetensorsHeaders() throws {
    let header = """
      {"__metadata__":{"format":"pt","a":"b"},"x":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},\
      "y.weight":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]},"z":{"dtype":"F16","shape":[],"data_offsets":[32,34]}}
      """
    let words = ["\"F64\"", "\"shape\"", "\"data_offsets\"", "[0,24]", "__metadata__", ",", ":", "}"]
    let data = 34
    try fuzz("safetensors-headers", Self.cases, Mutator([Array(header.utf8)], words: words, seed: Self.seed))
    { bytes in
      let header = try bytes.withUnsafeBytes {
        try SafetensorsHeader(parsing: $0, dataBytes: data, path: "fuzzed")
      }
      // What is accepted lies inside the file, apart from all others.
      var end = 0
      for range in header.places.values.sorted(by: { $0.lowerBound < $1.lowerBound }) {
        try #require(range.lowerBound >= end && range.upperBound <= data)
        end = range.upperBound
      }
    }
  }

  @Test func safetensorsFiles() throws {
    let folder = try TemporaryFolder()
    let good = [UInt8](try Data(contentsOf: URL(fileURLWithPath: Fixtures.smallPath.string)).prefix(1 << 16))
    let header = #"{"x":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#
    let small = safetensorsBytes(header, data: 24)
    try fuzz("safetensors-files", Self.cases / 10, Mutator([small, good], seed: Self.seed)) { bytes in
      let file = try SafetensorsFile(path: folder.file("fuzzed.safetensors", bytes))
      for name in file.names { _ = try file.floats(name) }
    }
  }

  /// Small files of a folder of fixtures, by the ends of their names.
  private static func containers(_ endings: String...) throws -> [[UInt8]] {
    let folder = ContainerTests.folder
    let names = try Folder.names(in: folder).map(\.string).sorted()
    return try names.filter { name in endings.contains { name.hasSuffix($0) } }.map { try bytes(folder / $0) }
  }

  @Test func pickles() throws {
    // As the files hold them: of a plain state dict, and of a trainer's.
    let seeds = try ["plain.pth", "trainer.pth"].map { name in
      let file = try bytes(ContainerTests.folder / name)
      return try file.withUnsafeBytes { bytes in
        let archive = try ZipArchive(bytes, path: "seed")
        return Array(bytes[try #require(archive.members.first { $0.key.hasSuffix("data.pkl") }).value.place])
      }
    }
    let words = [
      "ctorch._utils\n_rebuild_tensor_v2\n", "ctorch\nHalfStorage\n", "ccollections\nOrderedDict\n",
      "X\u{4}\0\0\0",
      "((((", "tt", "N)R", "}b", "]a",
    ]
    try fuzz("pickles", Self.cases, Mutator(seeds, words: words, seed: Self.seed)) { bytes in
      try bytes.withUnsafeBytes { bytes in
        let pickle = try TorchPickle(bytes, path: "fuzzed")
        // What is accepted lies inside its storage.
        for tensor in pickle.tensors where pickle.storages[tensor.storage].count < 1 << 12 {
          let storage = pickle.storages[tensor.storage]
          let place = 0..<storage.count * storage.type.bits / 8
          let view = StridedView(tensor, type: storage.type, place: place)
          let whole = view.whole ?? place
          try #require(whole.lowerBound >= 0 && whole.upperBound <= place.upperBound)
          let zeros = [UInt8](repeating: 0, count: place.count)
          try #require(zeros.withUnsafeBytes(view.copy(of:)).count == tensor.count * storage.type.bits / 8)
        }
        _ = try pickle.stateDict("fuzzed")
      }
    }
  }

  @Test func zipArchives() throws {
    let deflated = zipArchive([
      ZipMember(name: "a/b", bytes: Array("stored".utf8)), ZipMember(name: "c", bytes: [1, 2, 3], method: 8),
    ])
    let large = zipArchive([ZipMember(name: "x.npy", bytes: [1])], isLarge: true, comment: "about")
    let words = [
      "PK\u{1}\u{2}", "PK\u{3}\u{4}", "PK\u{5}\u{6}", "PK\u{6}\u{6}", "PK\u{6}\u{7}", "../", "\u{8}\0",
    ]
    let seeds = try [deflated, large] + Self.containers("compressed.npz")
    try fuzz("zip-archives", Self.cases / 10, Mutator(seeds, words: words, seed: Self.seed)) { bytes in
      try bytes.withUnsafeBytes { bytes in
        let archive = try ZipArchive(bytes, path: "fuzzed")
        var end = 0
        for member in archive.members.values.sorted(by: { $0.place.lowerBound < $1.place.lowerBound })
        where !member.place.isEmpty {
          try #require(member.place.lowerBound >= end && member.place.upperBound <= bytes.count)
          end = member.place.upperBound
          var size = 0
          let packed = UnsafeRawBufferPointer(rebasing: bytes[member.place])
          let fault = Inflate.run(packed, size: member.size, checksum: member.checksum) { size += $0.count }
          try #require(size <= member.size && (fault != nil || size == member.size))
        }
      }
    }
  }

  /// Whole files, opened as people do.
  @Test(arguments: ["npz", "torch"])
  func containerFiles(_ kind: String) throws {
    let folder = try TemporaryFolder()
    let seeds =
      try kind == "npz"
      ? Self.containers(".npz") + [Self.smallNPZ]
      : Self.containers("plain.pth", "legacy.pth", "module.pt")
    let words = ["'descr'", "'<f4'", "'|O'", "(2, 3), ", "True", "False", "data.pkl", ".npy", "byteorder"]
    try fuzz("\(kind)-files", Self.cases / 10, Mutator(seeds, words: words, seed: Self.seed)) { bytes in
      let file = try TensorFiles.open(folder.file("fuzzed", bytes))
      for name in file.names {
        let info = try #require(file.tensors[name])
        try #require(file.withRawBytes(name) { $0.count } == info.type.bytes(of: info.count))
      }
    }
  }

  /// Two arrays, one of them compressed: so small that what is made of it can be kept.
  private static let smallNPZ: [UInt8] = {
    func array(_ type: String, _ shape: String, bytes: Int) -> [UInt8] {
      npy(
        "{'descr': '\(type)', 'fortran_order': False, 'shape': \(shape), }",
        [UInt8](repeating: 1, count: bytes))
    }
    return zipArchive([
      ZipMember(name: "w.npy", bytes: array("<f4", "(2, 3)", bytes: 24)),
      ZipMember(name: "a/b.npy", bytes: array("<i2", "(4,)", bytes: 8), method: 8),
    ])
  }()

  @Test func shardIndices() throws {
    let folder = try TemporaryFolder()
    let sharded = ContainerTests.folder / "sharded"
    for name in try Folder.names(in: sharded) { _ = try folder.file(name.string, bytes(sharded / name)) }
    let good = try bytes(sharded / "model.safetensors.index.json")
    let words = [
      "\"weight_map\"", "\"metadata\"", "\"scalar\"", "\"model-00001-of-00002.safetensors\"", "\"../a\"", "{",
      "}", "[", "]",
    ]
    try fuzz("shard-indices", Self.cases / 10, Mutator([good], words: words, seed: Self.seed)) { bytes in
      let file = try ShardedFile(index: folder.file("model.safetensors.index.json", bytes))
      for name in file.names { _ = try file.withRawBytes(name) { $0.count } }
    }
  }

  /// What lies beside weights, which may answer but never spoil them: with a table of positions, and without one.
  @Test func configurations() throws {
    let kinds = ["hf_vit", "hf_dinov3"]
    let homes = try kinds.map { kind in
      let home = try TemporaryFolder()
      let weights = DialectFixtures.folder / kind / "model.safetensors"
      return (home, try CanonicalWeights(TensorFiles.open(home.file("model.safetensors", bytes(weights)))))
    }
    let timm = """
      {"architecture":"vit_w16","global_pool":"avg","model_args":{"num_heads":2,"img_size":16},"pretrained_cfg":{"tag":"x",\
      "input_size":[3,16,16],"mean":[0.5,0.4,0.3],"std":[0.2,0.2,0.1],"crop_pct":0.9,"crop_mode":"squash","interpolation":\
      "bicubic"}}
      """
    let files = ["hf_clip", "hf_beit", "hf_dinov3"].map { "\($0)/config.json" }
    let processors = ["hf_dinov2", "hf_siglip"].map { "\($0)/preprocessor_config.json" }
    let seeds = try (files + processors).map { try bytes(DialectFixtures.folder / $0) } + [Array(timm.utf8)]
    let words = [
      "\"architecture\"", "\"vit_base_patch16_224.mae\"", "\"model_type\"", "\"vision_config\"",
      "\"image_size\"",
      "\"hidden_act\"", "\"quick_gelu\"", "\"rope_theta\"", "\"num_attention_heads\"", "\"crop_pct\"",
      "\"crop_size\"",
      "\"shortest_edge\"", "\"do_center_crop\"", "\"resample\"", "\"layer_norm_eps\"", "[0.5,0.5,0.5]",
      "1e-300",
    ]
    try fuzz("configurations", Self.cases / 10, Mutator(seeds, words: words, seed: Self.seed)) { bytes in
      var isUsed = true
      for (home, weights) in homes {
        _ = try home.file("config.json", bytes)
        _ = try home.file("preprocessor_config.json", bytes)
        let reading = try BackboneReading(weights, options: .init())
        let shape = try reading.architecture.shape()
        try #require(shape.shapesByName == weights.index.shapes)
        let scaling = shape.normalization.mean + shape.normalization.std
        try #require(scaling.allSatisfy { $0.isFinite })
        if let fraction = reading.preprocessing?.cropFraction {
          try #require(fraction >= 0.1 && fraction <= 1)
        }
        if !reading.notes.isEmpty { isUsed = false }
      }
      if !isUsed { throw Ignored() }
    }
  }

  @Test(arguments: ["lora", "ila", "dyn"])
  func adapterManifests(_ name: String) async throws {
    try await Fixtures.withFolder { folder in
      try GraftedModel.small(name).save(to: folder)
      let path = URL(fileURLWithPath: (folder / AdapterFolder.manifestName).string)
      let good = [UInt8](try Data(contentsOf: path))
      let words = [
        "\"adapter\"", "\"peft_type\"", "\"LORA\"", "\"settings\"", "\"classes\"", "[\"a\",\"a\"]",
      ]
      try fuzz("manifests-\(name)", Self.cases / 10, Mutator([good], words: words, seed: Self.seed)) {
        bytes in
        try Data(bytes).write(to: path)
        if try PEFTFolder.isAt(folder) {
          _ = try PEFTFolder(path: folder)
        } else {
          let manifest = try AdapterFolder(path: folder).manifest
          do {
            _ = try AdapterCatalog.decode(manifest)
          } catch is GraftError {
            throw CheckpointError.malformedManifest(path: folder, detail: "an unknown adapter")
          }
        }
      }
    }
  }

  /// Graft's own folder, and one that PEFT wrote.
  @Test(arguments: ["own", "peft"])
  func adapterTensors(_ layout: String) async throws {
    // A queue of its own: in that of all tests a case would wait for their kernels.
    let vit = try Backbone(
      path: Fixtures.smallPath, options: .init(heads: 4), on: Context(Fixtures.context.get().device))
    try await Fixtures.withFolder { folder in
      let isOwn = layout == "own"
      if isOwn {
        try GraftedModel.small("lora", ["rank": "1", "targets": "[\"q\"]"], on: vit).save(to: folder)
      } else {
        for name in [AdapterFolder.manifestName, AdapterFolder.weightsName] {
          try FileManager.default.copyItem(
            atPath: (Fixtures.folder / "peft/timm/\(name)").string, toPath: (folder / "\(name)").string)
        }
      }
      let path = URL(fileURLWithPath: (folder / AdapterFolder.weightsName).string)
      let good = [UInt8](try Data(contentsOf: path))
      // Wounds in the header, or anywhere.
      let start = 8 + Int(good.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
      let mutator = Mutator(
        [good], words: ["\"F16\"", "\"shape\"", "[1,64]", "lora_A", ".weight"], head: start, seed: Self.seed)
      try fuzz("tensors-\(layout)", Self.cases / 10, mutator) { bytes in
        try Data(bytes).write(to: path)
        let model =
          try isOwn
          ? GraftedModel(AdapterFolder(path: folder), on: vit)
          : GraftedModel(PEFTFolder(path: folder), on: vit)
        try #require(try model.arena.values.floats().allSatisfy(\.isFinite))
      }
    }
  }

  @Test func tuningFiles() async throws {
    let traits = try Fixtures.context.get().traits
    try await Fixtures.withFolder { path in
      let file = URL(fileURLWithPath: TuningFile.path(for: traits, in: path).string)
      let good = Array(try TuningFile(.default(for: traits), for: traits).text().utf8)
      let words = ["\"clblast\"", "\"cpuDotProduct\"", "\"matmul\"", "1048576", "\"format\"", "2"]
      try fuzz("tuning-files", Self.cases / 10, Mutator([good], words: words, seed: Self.seed)) { bytes in
        try Data(bytes).write(to: file)
        let (tuning, origin) = Tuning.load(for: traits, from: path)
        try #require(tuning.fault(on: traits) == nil)
        if case .ignored = origin { throw Ignored() }
      }
    }
  }

  @Test func featureFiles() async throws {
    try await Fixtures.withFolder { folder in
      let rows: [String: [Float]] = ["one": [1, 2, 3], "two": [4, 5, 6]]
      let store = try FeatureFolder(folder, about: "fuzzed", limit: 1 << 20)
      for (name, row) in rows { try store.keep(row, as: name) }
      try store.flush()
      let names = try FileManager.default.subpathsOfDirectory(atPath: folder.string)
      let path = URL(
        fileURLWithPath: (folder / (try #require(names.first { $0.hasSuffix(".safetensors") }))).string)
      let good = [UInt8](try Data(contentsOf: path))
      try fuzz(
        "feature-files", Self.cases / 10,
        Mutator([good], words: ["\"one\"", "graft_features"], seed: Self.seed)
      ) { bytes in
        try Data(bytes).write(to: path)
        let store = try FeatureFolder(folder, about: "fuzzed", limit: 1 << 20)
        let found = rows.keys.compactMap { store.holds($0) ? store.row($0, count: 3) : nil }
        try #require(found.allSatisfy { $0.count == 3 && $0.allSatisfy(\.isFinite) })
        if found.count < rows.count { throw Ignored() }
      }
    }
  }

  @Test(arguments: ["png", "jpeg", "webp"])
  func images(_ kind: String) throws {
    let decoder = ImageDecoder(maximumPixels: 1 << 20)
    let words = ["IHDR", "IDAT", "PLTE", "tRNS", "IEND", "JFIF", "VP8 ", "VP8L", "VP8X", "ALPH", "ANMF"]
    try fuzz(kind, Self.cases / 10, Mutator(try Self.pictures(kind), words: words, seed: Self.seed)) {
      // With right check sums the wounds reach what is behind them.
      let image = try decoder.decode(kind == "png" ? withRightSums($0) : $0, file: "fuzzed")
      try #require(image.pixels.count == image.width * image.height * 3)
    }
  }

  /// Small pictures of every colour type.
  private static func pictures(_ kind: String) throws -> [[UInt8]] {
    let folder = Fixtures.folder / "images"
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.string).sorted()
    let pictures = try names.filter { $0.hasSuffix(kind == "jpeg" ? ".jpg" : ".\(kind)") }.map {
      [UInt8](try Data(contentsOf: URL(fileURLWithPath: (folder / "\($0)").string)))
    }
    return pictures.filter { $0.count < 1 << 14 }
  }

  /// A PNG file whose chunks carry the check sums of what they hold.
  private func withRightSums(_ png: [UInt8]) -> [UInt8] {
    var (png, start) = (png, 8)
    while start + 12 <= png.count {
      let length = png[start..<start + 4].reduce(0) { $0 << 8 | Int($1) }
      let end = start + 8 + length
      guard end + 4 <= png.count else { break }
      var sum = ~UInt32(0)
      for byte in png[start + 4..<end] {
        sum ^= UInt32(byte)
        for _ in 0..<8 { sum = sum & 1 == 1 ? sum >> 1 ^ 0xEDB8_8320 : sum >> 1 }
      }
      for index in 0..<4 { png[end + index] = UInt8(truncatingIfNeeded: ~sum >> UInt32(24 - 8 * index)) }
      start = end + 4
    }
    return png
  }
}
