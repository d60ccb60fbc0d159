import Foundation
import GraftOps
import GraftRuntime
import Testing

@testable import Graft

/// A GPU's kernels do more at once than a CPU's: what comes out of a whole model must be the same.
///
/// They run on the device at hand under the traits of a GPU.
@Suite(.serialized) struct ModelsOnGPUTests {
  /// Adapters of each way to join a backbone; GRAFT_LIMITS=all takes all.
  private static let adapters =
    ProcessInfo.processInfo.environment["GRAFT_LIMITS"] == "all"
    ? AdapterCatalog.names : ["alore", "convpass"]

  private static let gpu = Result {
    try Context(
      Device.select().changing { traits in
        (traits.kind, traits.chip, traits.name) = (.gpu, "sm_90", "stand-in")
        traits.hasDotProduct = false
      }, checksMemory: true)
  }

  @Test(
    .enabled(if: Fixtures.trainsLargeModels, "a rasteriser compiles them for minutes"), arguments: adapters)
  func answerAndLearnAlike(_ name: String) throws {
    let context = try Self.gpu.get()
    let model = try GraftedModel.small(name)
    let other = try GraftedModel.small(name, on: Fixtures.smallViT(on: context))
    // Both start alike, and move alike.
    for each in [model, other] { try each.perturb() }
    let images = Fixtures.noise(3)
    let (wanted, found) = (try model.logits(images), try other.logits(images))
    #expect(relativeError(found.flatMap { $0 }, wanted.flatMap { $0 }) < 1e-5)
    let (loss, same) = (try model.computeGradients(images), try other.computeGradients(images))
    #expect(abs(loss - same) < 1e-5 * abs(loss))
    let whole = try norm(model.arena.parameters.flatMap { try $0.gradient.floats() })
    for parameter in model.arena.parameters {
      let (wanted, found) = (try parameter.gradient.floats(), try other[parameter.name].gradient.floats())
      // Of a bias in front of a batch norm it is nothing but rounding.
      let size = max(norm(wanted), 1e-4 * whole)
      #expect(norm(zip(found, wanted).map { $0 - $1 }) < 1e-4 * size, "\(parameter.name)")
    }
    #expect(try context.damagedBuffers() == 0)
  }

  private func norm(_ values: [Float]) -> Double {
    values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
  }
}
