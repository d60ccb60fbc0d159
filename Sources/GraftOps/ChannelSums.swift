import GraftRuntime

extension Gradients {
  /// Adds the gradients of a scale and a shift of each channel; a bias is a shift.
  ///
  /// Of the scale it is the sum over rows of `dy * h`, of the shift the sum over rows of dy. What is absent or frozen
  /// costs nothing.
  ///
  /// - Parameters:
  ///   - gradient: dy (..., D).
  ///   - input: h (..., D); needed for a scale's gradient alone.
  ///   - statistics: (rows, 3), as layer normalisation keeps them: h is the input normalised by them.
  ///   - scale: (D).
  ///   - shift: (D).
  /// - Throws: `RuntimeError` when the device fails.
  func addChannelSums(
    of gradient: Tensor, times input: Tensor? = nil, normalizedBy statistics: Tensor? = nil,
    toScale scale: Tensor? = nil, toShift shift: Tensor?
  ) throws {
    let scale = scale?.requiresGradient == true ? scale : nil
    let shift = shift?.requiresGradient == true ? shift : nil
    guard scale != nil || shift != nil else { return }
    let partials = try ChannelSums(of: gradient, times: scale == nil ? nil : input, normalizedBy: statistics)
    if let scale {
      try sum(into: scale) { try partials.finish(.products, base: $0, into: $1) }
    }
    if let shift {
      try sum(into: shift) { try partials.finish(.sums, base: $0, into: $1) }
    }
  }
}

/// Sums over slices of the rows, and of the slices.
private struct ChannelSums {
  /// (slices, 2, D).
  private let partials: Tensor

  enum Part: Int { case products, sums }

  init(of gradient: Tensor, times input: Tensor?, normalizedBy statistics: Tensor?) throws {
    let (rows, width) = (gradient.rows, gradient.width)
    // A fixed target, not the device's number of units: the same bits wherever the same kernels run.
    let wanted = max(1, min(32, rows / 64))
    let perSlice = (rows + wanted - 1) / wanted
    let slices = (rows + perSlice - 1) / perSlice
    partials = try Tensor(empty: [slices, 2, width], on: gradient.context)
    var macros: [KernelKey.Macro] = []
    if input != nil { macros.append(.init("PRODUCTS", 1)) }
    if input != nil, statistics != nil { macros.append(.init("STATISTICS", 1)) }
    let plan = ColumnPlan(width: width, on: gradient.context)
    // Operands that the macros leave out are never read: any buffer stands in for them.
    try gradient.context.run(
      KernelKey("channel_sums", "channel_sums_partials", macros: plan.macros + macros),
      over: [plan.lanes == 1 ? (width + 15) / 16 : plan.items(width), slices * plan.teams],
      group: plan.group, (input ?? gradient).buffer, (statistics ?? gradient).buffer, gradient.buffer,
      partials.buffer, width, rows, perSlice)
  }

  func finish(_ part: Part, base: Tensor?, into target: Tensor) throws {
    let context = partials.context
    let perItem = context.traits.isCPU ? 1024 : 1
    let group = context.traits.isCPU ? 1 : min(64, context.traits.maxWorkGroupSize)
    try context.run(
      KernelKey("channel_sums", "channel_sums_finish"),
      over: [(partials.width + perItem - 1) / perItem], group: [group], partials.buffer,
      (base ?? target).buffer, target.buffer, part.rawValue, partials.width, partials.shape[0], perItem,
      base == nil ? 0 : 1)
  }
}
