// swift-format-ignore-file: NeverForceUnwrap

import Foundation
import GraftData
import GraftOps

@testable import Graft

extension Fixtures {
  /// Every adapter with its default settings, dropout off.
  static func adapter(_ name: String, _ settings: [String: String] = [:]) throws -> any Adapter {
    let plain = try AdapterCatalog.named(name)
    let all =
      plain.settingNames.contains("dropout") ? settings.merging(["dropout": "0"]) { a, _ in a } : settings
    return try all.reduce(plain) { try AdapterCatalog.setting($1.key, to: $1.value, of: $0) }
  }

  /// Images of noise, the same for the same seed.
  static func noise(_ count: Int, size: ImageSize = 48, seed: UInt64 = 7, classes: Int = 3) -> ImageBatch {
    var generator = SplitMix64(seed: seed)
    return ImageBatch(
      count: count, imageSize: size,
      pixels: (0..<count * size.count * 3).map { _ in UInt8.random(in: 0...255, using: &generator) },
      labels: (0..<count).map { Int32($0 % classes) })
  }

  static let recipe = TrainingRecipe(
    name: "test", epochs: 4, batchSize: 8, accumulation: 1,
    optimizer: .adamW(beta1: 0.9, beta2: 0.999, epsilon: 1e-8), learningRate: 1e-2, weightDecay: 0.01,
    schedule: .oneCycle(rise: 0.3, division: 25, finalDivision: 1e4), clip: 1, labelSmoothing: 0,
    backboneDropout: 0, dropPath: 0, augmentation: .none, normalization: nil)

  /// Pictures of one colour with noise on top; the colours are the classes.
  static func coloured(
    _ count: Int, classes: Int = 3, size: ImageSize = 48, seed: UInt64 = 1, transform: ImageTransform? = nil
  ) throws -> InMemoryImages {
    var generator = SplitMix64(seed: seed)
    let images = try (0..<count).map { index in
      var pixels = [UInt8](repeating: 0, count: size.count * 3)
      pixels.withUnsafeMutableBufferPointer { pixels in
        for pixel in 0..<size.count {
          var word = generator.next()
          for channel in 0..<3 {
            pixels[3 * pixel + channel] = UInt8(word & 127) + (channel == index % classes ? 90 : 30)
            word >>= 7
          }
        }
      }
      return try RGBImage(width: size.width, height: size.height, pixels: pixels)
    }
    return try InMemoryImages(
      images, labels: (0..<count).map { $0 % classes },
      classNames: Array(["red", "green", "blue"].prefix(classes)),
      transform: transform ?? .squash(imageSize: size))
  }
}

extension GraftedModel {
  static let names = ["red", "green", "blue"]

  /// A model on the small ViT.
  static func small(
    _ name: String, _ settings: [String: String] = [:], on vit: Backbone? = nil, seed: UInt64 = 0
  ) throws -> GraftedModel {
    try GraftedModel(
      vit ?? Fixtures.smallViT(), adapter: Fixtures.adapter(name, settings), classes: names, seed: seed)
  }

  /// Moves every value away from where it starts, running statistics too: an adapter that does nothing would
  /// prove nothing.
  func perturb(seed: UInt64 = 3, by size: Float = 0.05) throws {
    var generator = SplitMix64(seed: seed)
    for parameter in arena.parameters {
      try parameter.value.assign(parameter.value.floats().map { $0 + size * generator.gaussian() })
    }
    for (_, running) in statistics {
      try running.mean.assign(running.mean.floats().map { $0 + 0.1 * generator.gaussian() })
      try running.variance.assign(
        running.variance.floats().map { $0 * (1 + 0.5 * abs(generator.gaussian())) })
    }
  }

  /// One training step's gradients, left in the arena.
  func computeGradients(_ batch: ImageBatch) throws -> Float {
    try arena.clearGradients()
    return try Trainer.loss(self, batch, recipe: Fixtures.recipe, seed: 1, share: 1).floats()[0]
  }

  /// Every trained value, bit for bit.
  func bits() throws -> [String: [UInt32]] {
    var all = try arena.parameters.map { ($0.name, try $0.value.floats().map(\.bitPattern)) }
    for (name, running) in statistics {
      all.append(("\(name).mean", try running.mean.floats().map(\.bitPattern)))
      all.append(("\(name).variance", try running.variance.floats().map(\.bitPattern)))
    }
    return Dictionary(uniqueKeysWithValues: all)
  }

  subscript(_ name: String) -> Parameter { arena.parameters.first { $0.name == name }! }
}
