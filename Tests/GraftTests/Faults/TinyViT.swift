import Foundation
import GraftData
import GraftOps
import GraftSystem

@testable import Graft

/// A backbone so small that a whole training run takes a fraction of a second: its launches, not its sums, are what
/// faults are tried on.
enum TinyViT {
  static let shape = ViT(
    imageSize: 16, patchSize: 4, width: 16, depth: 2, heads: 2, hiddenWidth: 32)

  /// Random weights in a file: a run with an output folder wants a backbone that has one.
  static func write(to path: FilePath) throws {
    let weights = RandomWeights(seed: 11)
    try Safetensors.write(
      shape.shape().tensors.map {
        // Ten times the usual size: a ViT this narrow would else hardly look at its image.
        .init(name: $0.name, shape: $0.shape, values: weights.floats($0).map { 10 * $0 })
      }, metadata: [:], to: path)
  }

  /// Both have dropout, so that a retry that drew other numbers would be seen; ILA has running statistics too.
  static let adapters = ["ila", "alore"]

  static func adapter(_ name: String) -> any Adapter {
    name == "ila" ? ILA(bottleneck: 4, locations: [0]) : ALoRE(experts: 2, rank: 2)
  }

  static func images(_ count: Int, seed: UInt64 = 1) throws -> InMemoryImages {
    try Fixtures.coloured(count, size: shape.imageSize, seed: seed)
  }

  static let recipe: TrainingRecipe = {
    var recipe = Fixtures.recipe
    recipe.epochs = 2
    recipe.batchSize = 4
    recipe.backboneDropout = 0.1
    return recipe
  }()
}
