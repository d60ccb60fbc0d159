// swift-format-ignore-file: NeverForceUnwrap

import Foundation
import GraftSystem
import Synchronization
import Testing

@testable import Graft

/// Thresholds for a budget.
@Suite(.serialized) struct ExitCalibrationTests {
  static let costs = [4.477, 8.839, 13.201, 17.563]

  /// Confidences that grow with depth, as those of real heads do.
  static func confidences(_ count: Int, seed: UInt64 = 1) -> [[Double]] {
    var generator = SplitMix64(seed: seed)
    return (0..<count).map { _ in
      let hardness = Double.random(in: 0...1, using: &generator)
      return (0..<4).map { exit in
        1 - hardness * Double.random(in: 0.5...1, using: &generator) / Double(exit + 1)
      }
    }
  }

  static func meanCost(_ confidences: [[Double]], _ thresholds: [Double]) -> Double {
    confidences.reduce(0) { sum, row in
      sum + costs[(0..<3).first { row[$0] >= thresholds[$0] } ?? 3]
    } / Double(confidences.count)
  }

  @Test(arguments: [4.477, 5, 7, 8.8, 11, 13, 17, 17.56])
  func meetsTheBudget(_ budget: Double) {
    let shares = ExitCalibration.shares(costs: Self.costs, budget: budget)
    #expect(abs(shares.reduce(0, +) - 1) < 1e-9)
    #expect(abs(zip(shares, Self.costs).reduce(0) { $0 + $1.0 * $1.1 } - budget) < 1e-6)
    if budget > 5, budget < 17 {
      // Proportional to q^e: the ratio of neighbours is the same throughout.
      let ratios = zip(shares, shares.dropFirst()).map { $1 / $0 }
      #expect(ratios.allSatisfy { abs($0 / ratios[0] - 1) < 1e-6 })
    }
    let images = Self.confidences(1000)
    let thresholds = ExitCalibration.thresholds(confidences: images, costs: Self.costs, budget: budget)
    let cost = Self.meanCost(images, thresholds)
    #expect(cost <= budget + 1e-9 && cost > budget - 0.02, "\(cost) for \(budget)")
    // Other images of the same kind cost as much: a cost deviates by about 5, so the difference of two means of 1000
    // by 0.22; four of that.
    #expect(abs(Self.meanCost(Self.confidences(1000, seed: 2), thresholds) - budget) < 0.9)
  }

  @Test func endsOfTheRange() {
    let images = Self.confidences(50)
    func thresholds(_ budget: Double) -> [Double] {
      ExitCalibration.thresholds(confidences: images, costs: Self.costs, budget: budget)
    }
    for budget in [17.563, 20] { #expect(thresholds(budget) == [2, 2, 2]) }
    #expect(abs(Self.meanCost(images, thresholds(4.477)) - 4.477) < 1e-9)
  }

  /// Images that are equally sure leave together: never above the budget.
  @Test func tiesLeaveTogether() {
    let images = [[Double]](repeating: [1, 1, 1, 1], count: 20)
    let thresholds = ExitCalibration.thresholds(confidences: images, costs: Self.costs, budget: 12)
    #expect(thresholds == [1, 2, 2] && abs(Self.meanCost(images, thresholds) - 4.477) < 1e-9)
  }

  // MARK: On a model

  @Test func modelKeepsTheBudgetAndItsBooks() async throws {
    let model = try EarlyExitTests.model("alore")
    let images = try Fixtures.coloured(40)
    let exits = model.summary.exits
    #expect(exits.map(\.blocks) == [1, 3, 4, 6])
    for share in [0.3, 0.6, 0.9] {
      let budget = exits[0].gmac + share * (model.summary.gmac - exits[0].gmac)
      let found = try await model.calibrate(on: images, budget: budget, named: "colours", batchSize: 16)
      #expect(found.images == 40 && found.budget == budget && found.source == "colours")
      let result = try await model.evaluate(images, batchSize: 16, thresholds: found.thresholds)
      #expect(result.count == 40 && result.exits.reduce(0) { $0 + $1.count } == 40)
      #expect(result.exits.map(\.blocks) == [1, 3, 4, 6] && result.exits.map(\.gmac) == exits.map(\.gmac))
      let mean = result.exits.reduce(0) { $0 + Double($1.count) / 40 * $1.gmac }
      #expect(abs(result.meanGMAC - mean) < 1e-12 && result.meanGMAC <= budget + 1e-12)
      #expect(result.top1 == Double(result.exits.reduce(0) { $0 + $1.correct }) / 40)
      #expect(result.exits[0].count > 0)
    }
    let whole = try await model.evaluate(images)
    #expect(whole.exits.map(\.count) == [0, 0, 0, 40] && abs(whole.meanGMAC - model.summary.gmac) < 1e-12)
    let closed = try await model.evaluate(images, thresholds: [2])
    #expect(closed.loss == whole.loss && closed.exits == whole.exits)
    let open = try await model.evaluate(images, thresholds: [0])
    #expect(abs(open.meanGMAC - exits[0].gmac) < 1e-12 && open.exits[0].count == 40)
  }

  @Test func thresholdsAreSavedAndUsed() async throws {
    try await Fixtures.withFolder { folder in
      let model = try EarlyExitTests.model("alore")
      let images = Fixtures.noise(8)
      let whole = try model.decide(images)
      model.calibration = .init(thresholds: [0, 0.5, 2], budget: 1.25, images: 3, source: "x")
      try model.save(to: folder)
      let loaded = try GraftedModel(path: folder, on: Fixtures.context.get())
      #expect(loaded.calibration == model.calibration)
      #expect(try loaded.decide(images).allSatisfy { $0.exit == 0 } && whole.allSatisfy { $0.exit == 3 })
      #expect(try loaded.decide(images, thresholds: [2]) == whole)
      #expect(try loaded.logits(images) == whole.map(\.logits))
      let colours = try await loaded.evaluate(Fixtures.coloured(6))
      #expect(colours.exits[0].count == 6)

      // A file from elsewhere with thresholds for another number of exits.
      let path = folder / AdapterFolder.manifestName
      let text = try text(path)
      try AtomicFile.write(text.replacing("0.5,", with: ""), to: path)
      #expect(throws: CheckpointError.self) { try GraftedModel(path: folder, on: Fixtures.context.get()) }
    }
  }

  @Test func trainingForgetsThresholds() async throws {
    let model = try EarlyExitTests.model("linear")
    model.calibration = .init(thresholds: [0, 0, 0], budget: 1, images: 3, source: "x")
    var recipe = Fixtures.recipe
    recipe.epochs = 1
    let images = try Fixtures.coloured(8)
    let result = try await Trainer(model, recipe: recipe).run(training: images, validation: images)
    #expect(model.calibration == nil && result.validation!.exits.last!.count == 8)
  }

  @Test func budgetsThatCannotBeMetAreRefused() async throws {
    let model = try EarlyExitTests.model("linear")
    let images = try Fixtures.coloured(4)
    for budget in [0, model.summary.exits[0].gmac * 0.999, .nan] {
      await #expect(throws: GraftError.self) {
        try await model.calibrate(on: images, budget: budget, named: "x")
      }
    }
    let plain = try GraftedModel.small("alore")
    await #expect(throws: GraftError.self) { try await plain.calibrate(on: images, budget: 9, named: "x") }
    let all = try await model.calibrate(on: images, budget: 99, named: "x")
    #expect(all.thresholds == [2, 2, 2])
  }
}

/// Counts calls.
final class Counter: Sendable {
  private let count = Mutex(0)

  func next() -> Int {
    count.withLock {
      $0 += 1
      return $0
    }
  }
}
