import GraftOps
import Testing

@testable import Graft

/// What is dropped from the frozen branches, and where.
@Suite(.serialized) struct BranchRegularizationTests {
  /// The tokens after some blocks of the small ViT.
  private func tokens(
    through blocks: Range<Int>, _ regularization: BranchRegularization, _ mode: Tape.Mode
  ) throws -> (before: [Float], after: [Float]) {
    let vit = try Fixtures.smallViT()
    let start = try vit.embed(vit.input(Fixtures.noise(3)), classToken: nil, Pass(tape: Tape()))
    let end = try vit.advance(
      start, through: blocks, Pass(tape: Tape(mode), regularization: regularization))
    return (try start.values.floats(), try end.values.floats())
  }

  @Test func dropPathGrowsFromNothingAtTheFirstBlock() throws {
    let almostAlways = BranchRegularization(dropPath: 1 - 0x1p-24)
    let training = Tape.Mode.training(seed: 1)
    // The first block is never dropped, the last one then always, and nothing is at inference.
    #expect(
      try relativeError(
        tokens(through: 0..<1, almostAlways, training).after, tokens(through: 0..<1, .none, .inference).after)
        < 1e-5)
    let last = try tokens(through: 5..<6, almostAlways, training)
    #expect(last.after == last.before)
    let whole = try tokens(through: 0..<6, almostAlways, .inference)
    #expect(try whole.after == tokens(through: 0..<6, .none, .inference).after)
  }

  @Test func keptImagesAreScaled() throws {
    // The half that is kept counts twice, whole images at a time.
    let plain = try tokens(through: 5..<6, .none, .inference)
    let half = try tokens(through: 5..<6, .init(dropPath: 0.5), .training(seed: 4))
    #expect(half.after != plain.after && half.after != half.before)
    #expect(try half.after == tokens(through: 5..<6, .init(dropPath: 0.5), .training(seed: 4)).after)
    #expect(try half.after != tokens(through: 5..<6, .init(dropPath: 0.5), .training(seed: 5)).after)
  }
}
