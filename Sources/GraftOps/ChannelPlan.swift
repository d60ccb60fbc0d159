package import GraftRuntime

/// How a channels-last kernel is spread over the channels: see VEC in common.cl.
package struct ChannelPlan {
  /// Channels that one work-item handles at a time.
  package let vector: Int
  /// Work-items that share the channels: one that runs through all on a CPU, as many as there are chunks elsewhere.
  package let items: Int
  private let isCPU: Bool

  /// - Parameter widest: most channels of an item on what is no CPU.
  package init(channels: Int, on context: Context, widest: Int = 4) {
    // A CPU reads the widest vector without a tail; a lane of a GPU one load, beside its neighbour's.
    isCPU = context.traits.isCPU
    vector = (isCPU ? [16, 8, 4, 2] : [4, 2].filter { $0 <= widest }).first { channels % $0 == 0 } ?? 1
    items = isCPU ? 1 : channels / vector
  }

  /// What kernels must be built with.
  package var macros: [KernelKey.Macro] { [.init("VEC", vector)] + (isCPU ? [] : [.init("ALIGNED", 1)]) }
}
