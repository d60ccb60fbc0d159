import GraftOps
import GraftRuntime
import Testing

@testable import Graft

/// Where only the class token is read, the last block leaves the other tokens out.
///
/// That adapters compute the same with and without them is shown by the parity with PyTorch, which computes all.
@Suite(.serialized) struct ClassTokenTests {
  private func end(_ kept: KeptTokens, sites: GraftedSites = .init()) throws -> Tensor {
    let vit = try Fixtures.smallViT()
    let tokens = try vit.embed(
      vit.patchMatrix(Fixtures.noise(3)), sites: sites, classToken: nil, on: Tape())
    return try vit.advance(
      tokens, through: 0..<vit.shape.depth, sites: sites, keeping: kept, on: Tape()
    ).values
  }

  @Test func theClassTokenIsTheSameToTheBit() throws {
    let (all, one) = try (end(.all), end(.classToken))
    #expect(one.shape == [3, 1, all.shape[2]] && all.shape[1] > 1)
    #expect(try Tape().token(all, at: 0).floats() == Tape().token(one, at: 0).floats())
  }

  /// Reads neighbours, as a convolution does.
  private struct Mixing: SequentialModule {
    static var isTokenwise: Bool { false }
    func callAsFunction(_ tokens: Tokens, on tape: Tape) throws -> Tokens { tokens }
  }

  @Test func nothingIsLeftOutBelowAModuleThatReadsNeighbours() throws {
    let depth = try Fixtures.smallViT().shape.depth
    for (site, isCut) in [
      (Site.beforeMLP(block: depth - 1), false), (.afterBlock(depth - 1), false),
      (.beforeAttention(block: depth - 1), true), (.afterBlock(depth - 2), true),
    ] {
      var sites = GraftedSites()
      try sites.join(Mixing(), at: site, of: "mixing")
      #expect(try (end(.classToken, sites: sites).shape[1] == 1) == isCut, "\(site)")
    }
  }
}
