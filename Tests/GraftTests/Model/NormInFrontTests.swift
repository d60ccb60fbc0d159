import GraftOps
import GraftRuntime
import Testing

@testable import Graft

/// A module that takes the norm in front of it into its own operation.
@Suite(.serialized) struct NormInFrontTests {
  /// Gives the stream as it is where it stands for the norm, too.
  private struct Both: SequentialModule {
    static var isTokenwise: Bool { true }
    func callAsFunction(_ tokens: Tokens, on tape: Tape) throws -> Tokens { tokens }
    func callAsFunction(_ tokens: Tokens, behind norm: FrozenNorm, on tape: Tape) throws -> Tokens? { tokens }
  }

  private struct Standing: OperationModule {
    func callAsFunction(_ output: Tensor, reading input: LinearInput, on tape: Tape) throws -> Tensor {
      output
    }
  }

  private struct Beside: ParallelModule {
    static var isTokenwise: Bool { true }
    func callAsFunction(_ input: Reading, addedTo sum: Tensor, on tape: Tape) throws -> Tensor { sum }
  }

  /// Only where nothing stands on the norm, and nobody else reads what it gives.
  @Test func isTakenAlongWhereItIsAlone() throws {
    let vit = try Fixtures.smallViT()
    let part = vit.shape.blocks[0].parts[1]
    let norm = try #require(part.norm)
    func output(_ modules: (any SiteModule, Site)...) throws -> [Float] {
      var sites = GraftedSites()
      for (module, site) in modules { try sites.join(module, at: site, of: "some") }
      let pass = Pass(tape: Tape(), sites: sites)
      let tokens = try vit.embed(vit.input(Fixtures.noise(1)), classToken: nil, pass)
      return try vit.advance(tokens, through: 0..<1, keeping: .all, pass).values.floats()
    }
    let plain = try output()
    #expect(try output((Both(), .before(part.id))) != plain)
    #expect(try output((Both(), .before(part.id)), (Standing(), .on(norm.id))) == plain)
    #expect(try output((Both(), .before(part.id)), (Beside(), .beside(part.id))) == plain)
  }

  /// The kernels of a GPU, which do both, give what those of a processor give, which do not.
  @Test(.enabled(if: Fixtures.trainsLargeModels))
  func givesTheSameNumbers() throws {
    func numbers(_ kind: DeviceTraits.Kind) throws -> (logits: [Float], gradients: [Float], norms: Int) {
      let device = try Fixtures.context.get().device.changing { $0.kind = kind }
      let plain = try Context(device)
      let context = plain.tuned(plain.tuning, isWatched: true)
      let vit = try Backbone(path: Fixtures.smallPath, options: .init(heads: 4), on: context)
      let model = try GraftedModel.small("alore", ["has_bias": "true"], on: vit)
      try model.perturb()
      let logits = try model.logits(Fixtures.noise(3))
      let norms = context.log?.launches.count { $0.kernel.function == "layer_norm_forward" } ?? 0
      _ = try model.computeGradients(Fixtures.noise(3))
      return (logits.flatMap { $0 }, try model.arena.gradients.floats(), norms)
    }
    let (apart, both) = try (numbers(.cpu), numbers(.gpu))
    #expect(apart.norms == 13 && both.norms == 1)
    #expect(relativeError(both.logits, apart.logits) < 1e-5)
    #expect(relativeError(both.gradients, apart.gradients) < 1e-5)
  }
}
