import GraftRuntime

/// Sums over lanes through a subgroup's registers instead of local memory: SHUFFLES in common.cl.
///
/// They are the same tree of additions, so that a device gives the same bits with them and without.
package enum Shuffles {
  /// What the self-check calls them.
  package static let name = "sums by shuffles"

  /// What kernels over rows are built with where a device has subgroups of a known size and a norm comes out right by them.
  static func macros(on context: Context) -> [KernelKey.Macro]? {
    guard context.traits.hasShuffles, let lanes = context.traits.narrowWave else { return nil }
    let macros = [KernelKey.Macro("WAVE", lanes), .init("SHUFFLES", 1)]
    let isRight = context.selfChecks.verdict(on: name) {
      // In memory of its own, so that a check changes no plan, and a rehearsal computes it in earnest.
      (try? check(macros, on: context.apart())) ?? false
    }
    return isRight ? macros : nil
  }

  /// Whether rows of four subgroups' lanes give the same bits as through local memory.
  private static func check(_ macros: [KernelKey.Macro], on context: Context) throws -> Bool {
    let (rows, width, lanes, teams) = (5, 192, 32, 4)
    let x = try Tensor(
      (0..<rows * width).map { Float($0 * 37 % 101) / 64 }, shape: [rows, width], on: context)
    let weight = try Tensor((0..<width).map { Float($0 % 7) }, shape: [width], on: context)
    func normalized(_ more: [KernelKey.Macro]) throws -> [Float] {
      let output = try Tensor(empty: [rows, width], on: context)
      let statistics = try Tensor(empty: [rows, 3], on: context)
      try context.run(
        KernelKey(
          "layer_norm", "layer_norm_forward",
          macros: [.init("LANES", lanes), .init("TEAMS", teams), .init("KEPT", 2)] + more),
        over: [2 * lanes, teams], group: [lanes, teams], x.buffer, weight.buffer, weight.buffer,
        output.buffer, statistics.buffer, width, rows, Float(1e-6))
      return try output.floats()
    }
    return try normalized(macros) == normalized([])
  }
}
