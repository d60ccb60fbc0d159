import Foundation
import Testing

@testable import Graft

@Suite("Checkpoint position embeddings")
struct CheckpointPositionEmbeddingTests {
  @Test(
    "Equal to torch.nn.functional.interpolate", arguments: PositionResampling.allCases,
    [
      (Grid(rows: 5, columns: 5), Grid(rows: 3, columns: 3)),
      (Grid(rows: 5, columns: 5), Grid(rows: 8, columns: 8)),
      (Grid(rows: 7, columns: 7), Grid(rows: 4, columns: 4)),
      (Grid(rows: 37, columns: 37), Grid(rows: 16, columns: 16)),
      (Grid(rows: 5, columns: 7), Grid(rows: 9, columns: 3)),
      (Grid(rows: 4, columns: 4), Grid(rows: 1, columns: 1)),
    ])
  func golden(convention: PositionResampling, sizes: (old: Grid, new: Grid)) throws {
    let file = try Fixtures.open("position_embedding")
    let (old, new) = sizes
    let name = "\(old)-\(new)"
    let input = try file.floats("\(name).input")
    // Which knows no way of its own for absolute positions.
    let known = convention == .geometric ? .bicubicAntialias : convention
    let expected = try file.floats("\(name).\(known.rawValue)")
    let output = PositionEmbedding.resample(input, from: old, to: new, dimension: 3, convention: convention)
    try #require(output.count == expected.count)
    let difference = zip(output, expected).map { abs($0 - $1) }.max() ?? 0
    #expect(difference <= 1e-5)
  }

  @Test(
    "Relative positions equal to torch.nn.functional.interpolate, and to timm",
    arguments: PositionResampling.allCases,
    [
      (4, Grid(rows: 6, columns: 5)), (4, Grid(rows: 3, columns: 2)), (7, Grid(rows: 12, columns: 12)),
      (3, Grid(rows: 3, columns: 5)), (5, Grid(rows: 1, columns: 1)), (1, Grid(rows: 2, columns: 3)),
    ])
  func relative(convention: PositionResampling, sizes: (side: Int, new: Grid)) throws {
    let file = try Fixtures.open("relative_positions")
    let name = "\(Grid(side: sizes.side))-\(sizes.new)"
    let expected = try file.floats("\(name).\(convention.rawValue)")
    let output = try PositionEmbedding.resample(
      relative: file.floats("\(name).input"), from: sizes.side, to: sizes.new, dimension: 2,
      convention: convention)
    try #require(output.count == expected.count)
    let difference = zip(output, expected).map { abs($0 - $1) }.max() ?? 0
    #expect(difference <= 1e-5)
    // What the token in front and the cells give each other has no place in the grid.
    #expect(output.suffix(6) == expected.suffix(6))
  }

  @Test(
    "A constant stays constant, and a grid of the same size stays as it is",
    arguments: PositionResampling.allCases)
  func invariants(convention: PositionResampling) {
    let old = Grid(rows: 6, columns: 5)
    let constant = [Float](repeating: 0.25, count: old.count * 2)
    for new in [Grid(rows: 3, columns: 11), Grid(rows: 1, columns: 1), Grid(rows: 24, columns: 2)] {
      let output = PositionEmbedding.resample(
        constant, from: old, to: new, dimension: 2, convention: convention)
      #expect(output.count == new.count * 2 && output.allSatisfy { abs($0 - 0.25) < 1e-6 })
    }
    let ramp = (0..<old.count * 2).map { Float($0) }
    #expect(
      PositionEmbedding.resample(ramp, from: old, to: old, dimension: 2, convention: convention) == ramp)
  }
}
