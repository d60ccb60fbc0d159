// swift-format-ignore-file: NeverForceUnwrap

import Foundation
import GraftOps
import GraftRuntime
import GraftSystem
import Testing

@testable import Graft

/// What earlier versions wrote still loads, to the same bits.
///
/// `Tests/Fixtures/format1` was written once, by the last version that knew only plain ViTs, with
/// `GRAFT_RECORD=format1 swift test --filter Format1Tests`. It is never written again: that would prove nothing.
@Suite(.serialized) struct Format1Tests {
  private static let folder = Fixtures.folder / "format1"
  static let isRecording = ProcessInfo.processInfo.environment["GRAFT_RECORD"] == "format1"

  /// What the version computed that wrote the files.
  struct Record: Codable {
    /// Bits are promised here alone: other processors add in another order.
    var device: String
    var version: String
    /// Of each saved adapter for the same pictures.
    var logits: [String: [Float]] = [:]
    /// Of the first twenty steps of training each adapter from its start.
    var losses: [String: [Float]] = [:]
    /// Hash of the tensors into which the saved adapters merge, by the host's arithmetic: the same everywhere.
    var merged: [String: String] = [:]

    static var thisDevice: String {
      get throws {
        let traits = try Fixtures.context.get().traits
        return "\(traits.identity), \(traits.computeUnits) units"
      }
    }
  }

  private static let record = Result {
    try JSON.value(Record.self, of: String(decoding: bytes(folder / "record.json"), as: UTF8.self))
  }
  static let mergedName = "alore"

  private static func images() -> ImageBatch { Fixtures.noise(4) }

  /// Losses of twenty steps, five a pass.
  private static func losses(_ name: String) async throws -> [Float] {
    try await Fixtures.withFolder { folder in
      _ = try await Trainer(
        GraftedModel.small(name, seed: 5), recipe: Fixtures.recipe, seed: 5, output: folder
      ).run(training: Fixtures.coloured(40), validation: Fixtures.coloured(9))
      let lines = try text(folder / "metrics.jsonl").split(separator: "\n")
      return try lines.compactMap { line in
        let fields = try JSON.value(JSONValue.self, of: String(line)).objectValue
        return fields?["event"] == "step" ? fields?["loss"]?.doubleValue.map { Float($0) } : nil
      }
    }
  }

  /// The same bits where the files were written, nearly the same elsewhere.
  private func expect(
    _ actual: [Float], _ expected: [Float]?, within tolerance: Double, _ name: String,
    location: SourceLocation = #_sourceLocation
  ) throws {
    let expected = try #require(expected, "\(name) is not in the record", sourceLocation: location)
    try #require(actual.count == expected.count, sourceLocation: location)
    if try Self.record.get().device == Record.thisDevice {
      #expect(
        actual.map(\.bitPattern) == expected.map(\.bitPattern), "\(name)", sourceLocation: location)
    } else {
      #expect(relativeError(actual, expected) < tolerance, "\(name)", sourceLocation: location)
    }
  }

  @Test("Every adapter of that version has its folder")
  func complete() throws {
    let names = try Folder.names(in: Self.folder / "adapters").map { $0.string }.sorted()
    #expect(names == AdapterCatalog.names.sorted().filter { try! Self.record.get().logits[$0] != nil })
    #expect(try Self.record.get().logits.count == 18)
  }

  @Test("A saved adapter gives the logits that it gave", arguments: AdapterCatalog.names)
  func logits(_ name: String) throws {
    let folder = try AdapterFolder(path: Self.folder / "adapters" / name)
    let model = try GraftedModel(folder, on: Fixtures.smallViT())
    let logits = try model.logits(Self.images()).flatMap { $0 }
    try expect(logits, Self.record.get().logits[name], within: 1e-5, name)
  }

  @Test("Training begins and goes on as it did", arguments: AdapterCatalog.names)
  func losses(_ name: String) async throws {
    try expect(try await Self.losses(name), try Self.record.get().losses[name], within: 1e-3, name)
  }

  @Test("A saved adapter merges into the same file", arguments: MergeTests.mergeable)
  func merged(_ name: String) async throws {
    try await Fixtures.withFolder { folder in
      let saved = try AdapterFolder(path: Self.folder / "adapters" / name)
      try GraftedModel(saved, on: Fixtures.smallViT()).merge(to: folder / "merged.safetensors")
      let file = try SafetensorsFile(path: folder / "merged.safetensors")
      #expect(try file.contentHash == Self.record.get().merged[name], "\(name)")
    }
  }

  @Test("A merged file gives the logits that its adapter gave")
  func mergedFile() throws {
    let model = try GraftedModel(merged: Self.folder / "merged.safetensors", on: Fixtures.context.get())
    let expected = try #require(Self.record.get().logits[Self.mergedName])
    #expect(try relativeError(model.logits(Self.images()).flatMap { $0 }, expected) < 1e-5)
    #expect(model.classes == GraftedModel.names)
  }

  @Test("An interrupted run goes on to the weights it would have had")
  func resumed() async throws {
    try await Fixtures.withFolder { folder in
      try FileManager.default.copyItem(
        atPath: (Self.folder / "interrupted").string, toPath: (folder / "run").string)
      let recipe = ResumeTests.recipe(ResumeTests.optimizers[0])
      let checkpoint = try Fixtures.open("format1/interrupted/checkpoint")
      let moments = checkpoint.tensors["optimizer.first_moment"]?.shape
      guard try moments == [ResumeTests.model().arena.gradients.count] else {
        // Of a device that aligns memory otherwise: refused, with what to do.
        await #expect(throws: GraftError.self) {
          try await ResumeTests.run(folder / "run", recipe, resumes: true)
        }
        return
      }
      let result = try await ResumeTests.run(folder / "run", recipe, resumes: true).result
      #expect(!result.wasInterrupted && result.steps == 9)
      let (actual, expected) = try (
        SafetensorsFile(path: folder / "run/adapter_model.safetensors"), Fixtures.open("format1/finished")
      )
      #expect(actual.names == expected.names)
      for name in expected.names {
        try expect(actual.floats(name), expected.floats(name), within: 1e-3, name)
      }
    }
  }

  @Test("Write the files", .enabled(if: isRecording, "GRAFT_RECORD=format1 writes them anew"))
  func write() async throws {
    let folder = Self.folder
    try? FileManager.default.removeItem(atPath: folder.string)
    try Folder.make(folder)
    var record = try Record(device: Record.thisDevice, version: Graft.version)
    // Folders record where their backbone was: not in whose checkout.
    let elsewhere = FilePath("/tmp/graft/vit_w64_d6.safetensors")
    try Folder.make(elsewhere.removingLastComponent())
    try AtomicFile.write(bytes(Fixtures.smallPath), to: elsewhere)
    let vit = try Backbone(path: elsewhere, options: .init(heads: 4), on: Fixtures.context.get())
    for name in AdapterCatalog.names {
      let model = try GraftedModel.small(name, on: vit)
      try model.perturb(by: 0.02)
      try model.save(to: folder / "adapters" / name)
      record.logits[name] = try model.logits(Self.images()).flatMap { $0 }
      record.losses[name] = try await Self.losses(name)
      if MergeTests.mergeable.contains(name) {
        let path = folder / "merged.safetensors"
        try model.merge(to: path)
        record.merged[name] = try SafetensorsFile(path: path).contentHash
      }
    }
    let merged = try AdapterFolder(path: folder / "adapters" / Self.mergedName)
    try GraftedModel(merged, on: vit).merge(to: folder / "merged.safetensors")
    try await Fixtures.withFolder { temporary in
      let recipe = ResumeTests.recipe(ResumeTests.optimizers[0])
      _ = try await ResumeTests.run(temporary / "run", recipe, stopAt: 5)
      try FileManager.default.copyItem(
        atPath: (temporary / "run").string, toPath: (folder / "interrupted").string)
      for name in ["adapter_config.json", "best/adapter_config.json"] {
        let path = folder / "interrupted" / name
        try AtomicFile.write(text(path).replacing(Fixtures.checkout.string, with: "/tmp/graft"), to: path)
      }
      _ = try await ResumeTests.run(temporary / "whole", recipe)
      try FileManager.default.copyItem(
        atPath: (temporary / "whole/adapter_model.safetensors").string,
        toPath: (folder / "finished.safetensors").string)
    }
    try AtomicFile.write(JSON.text(of: record, .pretty), to: folder / "record.json")
  }
}
