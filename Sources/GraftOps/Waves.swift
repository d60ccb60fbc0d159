import GraftRuntime

extension DeviceTraits {
  /// How many items are to run in step, where a compiler's own choice is bad: that for Ponte Vecchio takes waves of 32 and
  /// then has too few registers for each.
  var waveMacros: [KernelKey.Macro] { family == .intelXeHPC ? [.init("WAVE", 16)] : [] }

  /// The same for tiles, which hold many registers: Intel's compiler takes the widest waves, and spills.
  ///
  /// Chips that came later have no waves of 8 lanes.
  var narrowWaveMacros: [KernelKey.Macro] {
    let lanes = ["tgllp": 8, "dg2": 8, "pvc": 16]
    guard hasSubgroups, let chip, let count = lanes[chip] else { return [] }
    return [.init("WAVE", count)]
  }
}
