// swift-format-ignore-file: NeverForceUnwrap

import Foundation
import GraftData
import GraftOps
import GraftSystem
import Testing

@testable import Graft

/// NaN and infinity are found and named before they reach a file.
@Suite(.serialized) struct NonFiniteTests {
  /// A run of three steps a pass in which `damage` is done after a step, and what it threw.
  private func run(
    _ model: GraftedModel, _ recipe: TrainingRecipe, in folder: FilePath, damageAfter step: Int,
    _ damage: () throws -> Void
  ) async throws -> GraftError? {
    let trainer = try Trainer(model, recipe: recipe, output: folder)
    do {
      _ = try await trainer.run(
        training: Fixtures.coloured(24), validation: Fixtures.coloured(3),
        onEvent: { if case .step(_, let number, _, _, _, _) = $0, number == step { try damage() } })
    } catch let error as GraftError {
      return error
    }
    return nil
  }

  private func files(_ folder: FilePath) throws -> [Data?] {
    ["checkpoint.safetensors", "adapter_model.safetensors", "best/adapter_model.safetensors"].map {
      try? Data(contentsOf: URL(fileURLWithPath: (folder / $0).string))
    }
  }

  @Test(arguments: [Float.nan, .infinity], [Float(1), 0])
  func gradientIsNamed(_ bad: Float, clip: Float) async throws {
    try await Fixtures.withFolder { folder in
      var recipe = Fixtures.recipe
      recipe.clip = clip
      let model = try GraftedModel.small("ila")
      let name = "blocks.3.ila.up.weight"
      let before = try model.bits()
      // The gradient of the second step is under way when the first is looked at.
      let error = try await run(model, recipe, in: folder, damageAfter: 1) {
        let gradient = model[name].gradient
        try gradient.assign([bad] + gradient.floats().dropFirst())
      }
      #expect(error == .gradientNotFinite(step: 2, tensor: name, checkpoint: nil))
      #expect("\(error!)".contains(name) && "\(error!)".contains("step 2"))
      #expect(try files(folder) == [nil, nil, nil], "nothing is saved")
      #expect(try model.bits() == before, "the model is put back")
    }
  }

  @Test func gradientAfterACheckpointKeepsIt() async throws {
    try await Fixtures.withFolder { folder in
      let model = try GraftedModel.small("alore")
      let name = "head.weight"
      var kept: [Data?] = []
      let error = try await run(model, Fixtures.recipe, in: folder, damageAfter: 4) {
        kept = try files(folder)
        let gradient = model[name].gradient
        try gradient.assign([.nan] + gradient.floats().dropFirst())
      }
      let checkpoint = folder / "checkpoint.safetensors"
      #expect(error == .gradientNotFinite(step: 5, tensor: name, checkpoint: checkpoint))
      #expect(try files(folder) == kept && kept.allSatisfy { $0 != nil })
      // The model stands where the checkpoint does.
      let weights = try SafetensorsFile(path: checkpoint).floats(name).map(\.bitPattern)
      #expect(try model.bits()[name] == weights)
    }
  }

  /// No loss of a training step sees running statistics.
  @Test func whatNoLossSeesIsFoundBeforeItIsSaved() async throws {
    try await Fixtures.withFolder { folder in
      let model = try GraftedModel.small("ila")
      let (name, running) = model.statistics[0]
      let error = try await run(model, Fixtures.recipe, in: folder, damageAfter: 2) {
        try running.variance.assign([.infinity] + running.variance.floats().dropFirst())
      }
      #expect(error == .notFinite(tensor: "\(name).running_var", step: 3))
      #expect(try files(folder) == [nil, nil, nil])
    }
  }

  @Test func momentsAreNamedByTheirParameter() throws {
    let model = try GraftedModel.small("alore")
    let optimizer = try AdamW(model.arena)
    let last = model.arena.parameters.last!
    var moments = try optimizer.state[1].tensor.floats()
    moments[model.arena.elements(ofFirst: model.arena.parameters.count - 1)] = .infinity
    try optimizer.state[1].tensor.assign(moments)
    #expect(throws: GraftError.notFinite(tensor: "second_moment of \(last.name)", step: 7)) {
      try RestorePoint(model, optimizer, step: 7)
    }
  }

  /// Each factor is finite, their product is not.
  @Test func anOverflowingMergeIsRefused() async throws {
    try await Fixtures.withFolder { folder in
      let model = try GraftedModel.small("lora")
      for parameter in model.arena.parameters where parameter.name.contains("lora") {
        try parameter.value.assign([Float](repeating: 1e30, count: parameter.count))
      }
      let error = #expect(throws: GraftError.self) { try model.merge(to: folder / "m.safetensors") }
      guard case .notFinite(let tensor, nil) = error else {
        Issue.record("\(String(describing: error))")
        return
      }
      #expect(tensor.hasPrefix("blocks.") && tensor.hasSuffix("weight"))
      #expect(!(folder / "m.safetensors").exists)
    }
  }

  @Test func anAdapterIsRefused() async throws {
    try await Fixtures.withFolder { folder in
      let model = try GraftedModel.small("ila")
      try model.save(to: folder)
      let path = folder / "adapter_model.safetensors"
      let file = try SafetensorsFile(path: path)
      let name = file.names[3]
      try Safetensors.write(
        file.names.map { tensor in
          var values = try file.floats(tensor)
          if tensor == name { values[0] = .nan }
          return .init(name: tensor, shape: file.tensors[tensor]!.shape, values: values)
        }, metadata: file.metadata, to: path)
      #expect(throws: CheckpointError.nonFinite(path: path, tensor: name, index: 0)) {
        try GraftedModel(AdapterFolder(path: folder), on: model.backbone)
      }
    }
  }
}
