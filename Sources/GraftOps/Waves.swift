import GraftRuntime

extension DeviceTraits {
  /// Lanes of the narrowest waves of an Intel chip whose compiler was tried: with many registers it spills in wider ones.
  ///
  /// Chips that came later have no waves of 8 lanes.
  var narrowWave: Int? {
    switch chip {
    case "tgllp", "dg2": 8
    case "pvc": 16
    default: nil
    }
  }

  /// How many items of a tile, which holds many registers, are to run in step.
  var narrowWaveMacros: [KernelKey.Macro] {
    guard hasSubgroups, let narrowWave else { return [] }
    return [.init("WAVE", narrowWave)]
  }

  /// The same for other kernels, where a compiler's own choice is bad: that for Ponte Vecchio takes waves of 32 and then has
  /// too few registers for each.
  var waveMacros: [KernelKey.Macro] { family == .intelXeHPC ? [.init("WAVE", 16)] : [] }
}
