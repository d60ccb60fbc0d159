import Foundation
import Testing

@testable import Graft

@Suite("Checkpoint position embeddings")
struct CheckpointPositionEmbeddingTests {
  typealias Grid = PositionEmbedding.Grid

  @Test(
    "Equal to torch.nn.functional.interpolate", arguments: PositionResampling.allCases,
    [
      (Grid(height: 5, width: 5), Grid(height: 3, width: 3)),
      (Grid(height: 5, width: 5), Grid(height: 8, width: 8)),
      (Grid(height: 7, width: 7), Grid(height: 4, width: 4)),
      (Grid(height: 37, width: 37), Grid(height: 16, width: 16)),
      (Grid(height: 5, width: 7), Grid(height: 9, width: 3)),
      (Grid(height: 4, width: 4), Grid(height: 1, width: 1)),
    ])
  func golden(convention: PositionResampling, sizes: (old: Grid, new: Grid)) throws {
    let file = try Fixtures.open("position_embedding")
    let (old, new) = sizes
    let name = "\(old.height)x\(old.width)-\(new.height)x\(new.width)"
    let input = try file.floats("\(name).input")
    let expected = try file.floats("\(name).\(convention.rawValue)")
    let output = PositionEmbedding.resample(input, from: old, to: new, dimension: 3, convention: convention)
    try #require(output.count == expected.count)
    let difference = zip(output, expected).map { abs($0 - $1) }.max() ?? 0
    #expect(difference <= 1e-5)
  }

  @Test(
    "A constant stays constant, and a grid of the same size stays as it is",
    arguments: PositionResampling.allCases)
  func invariants(convention: PositionResampling) {
    let old = Grid(height: 6, width: 5)
    let constant = [Float](repeating: 0.25, count: old.count * 2)
    for new in [Grid(height: 3, width: 11), Grid(height: 1, width: 1), Grid(height: 24, width: 2)] {
      let output = PositionEmbedding.resample(
        constant, from: old, to: new, dimension: 2, convention: convention)
      #expect(output.count == new.count * 2 && output.allSatisfy { abs($0 - 0.25) < 1e-6 })
    }
    let ramp = (0..<old.count * 2).map { Float($0) }
    #expect(
      PositionEmbedding.resample(ramp, from: old, to: old, dimension: 2, convention: convention) == ramp)
  }
}
