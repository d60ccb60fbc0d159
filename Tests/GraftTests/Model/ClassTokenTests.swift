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
    let pass = Pass(tape: Tape(), sites: sites)
    let tokens = try vit.embed(vit.input(Fixtures.noise(3)), classToken: nil, pass)
    return try vit.advance(tokens, through: 0..<vit.shape.depth, keeping: kept, pass).values
  }

  @Test func theClassTokenIsTheSameToTheBit() throws {
    let (all, one) = try (end(.all), end(.first(1)))
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
      (Site.before(.init(block: depth - 1, name: "mlp")), false), (.afterBlock(depth - 1), false),
      (.before(.init(block: depth - 1, name: "attn")), true), (.afterBlock(depth - 2), true),
    ] {
      var sites = GraftedSites()
      try sites.join(Mixing(), at: site, of: "mixing")
      #expect(try (end(.first(1), sites: sites).shape[1] == 1) == isCut, "\(site)")
    }
  }
}
