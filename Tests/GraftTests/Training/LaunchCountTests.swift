import GraftRuntime
import Testing

@testable import Graft

/// How many kernels a GPU is asked to start: each costs microseconds, whatever it does.
///
/// Counted in a rehearsal under a GPU's traits; the numbers do not depend on sizes, and a forward pass of ViT-B has as many as
/// one of ViT-S.
@Suite struct LaunchCountTests {
  private static func launches(_ adapter: String) throws -> Rehearsal.Launches {
    let device = try Device.select().changing { traits in
      (traits.kind, traits.chip, traits.name, traits.quirks) = (.gpu, "sm_90", "stand-in", [])
      traits.hasDotProduct = false
    }
    let adapter = try AdapterCatalog.named(adapter)
    return try Rehearsal.launches(
      BackboneCatalog.named("vit_small_patch16_224").shape(), adapter: adapter, classes: 100,
      recipe: .preset("quick", for: adapter), on: Context(device))
  }

  /// No more than there are today.
  @Test(arguments: [
    ("linear", 68, 77), ("alore", 91, 249), ("convpass", 163, 433), ("lora", 104, 270),
    ("adaptformer", 116, 371),
  ])
  func doNotCreepUp(_ adapter: String, _ answer: Int, _ step: Int) throws {
    let launches = try Self.launches(adapter)
    for (name, list, most) in [("answer", launches.answer, answer), ("step", launches.step, step)] {
      let kinds = Dictionary(grouping: list, by: \.kernel.function).mapValues(\.count)
      #expect(list.count <= most, "\(adapter), \(name): \(kinds.sorted { $0.value > $1.value })")
    }
  }
}
