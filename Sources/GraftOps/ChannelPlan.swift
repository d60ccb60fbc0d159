package import GraftRuntime

/// How a channels-last kernel is spread over the channels: see VEC in common.cl.
package struct ChannelPlan {
  /// Channels that one work-item handles at a time.
  package let vector: Int
  /// Work-items that share the channels: one that runs through all on a CPU, as many as there are chunks elsewhere.
  package let items: Int

  package init(channels: Int, on context: Context) {
    // Neighbouring lanes of a GPU read neighbouring channels; a CPU reads the widest vector without a tail.
    let isCPU = context.traits.isCPU
    vector = isCPU ? [16, 8, 4, 2].first { channels % $0 == 0 } ?? 1 : 1
    items = isCPU ? 1 : channels
  }
}
