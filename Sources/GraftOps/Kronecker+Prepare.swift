import GraftRuntime

extension Kronecker {
  /// The weights in the orders in which the kernels read them: prepared again only when one of them has changed.
  ///
  /// They are kept with U, of which every adapter has its own.
  func prepare(a: Tensor, u: Tensor, v: Tensor, scale: Float) throws -> Tensor {
    let weights = [a, u, v]
    if let kept = u.derived, kept.isCurrent(for: weights, keptBy: u, scale) { return kept.result }
    // A step changes the weights of all adapters. On a CPU, where a launch costs little, each stays near its use.
    if isTiled, let array = Tensor.array(of: weights) {
      return try array.derivations(Form(experts: experts, rank: rank, part: part, scale: scale))
        .derive(weights, keptBy: u, scale) { try prepareAll(in: array, $0, count: $1, scale: scale) }
    }
    let operands = try Tensor(empty: [operandCount], on: context)
    let group = min(context.traits.isCPU ? 16 : 64, context.traits.maxWorkGroupSize)
    try context.run(
      key("kronecker_prepare"), over: [paddedPart], group: [group], a.buffer, u.buffer, v.buffer,
      operands.buffer, part, paddedPart, scale)
    u.derived = DerivedTensor(operands, of: weights, keptBy: u, scale)
    return operands
  }

  /// What adapters have in common that one launch prepares.
  private struct Form: Hashable {
    let experts, rank, part: Int
    let scale: Float
  }

  private var operandCount: Int { 2 * part * paddedLanes + 2 * ranks * paddedPart + 2 * mixCount }

  /// - Parameter places: of A, U and V in the array, for each of `count` adapters.
  private func prepareAll(in array: Tensor, _ places: Tensor, count: Int, scale: Float) throws -> [Tensor] {
    let alignment = max(64, context.traits.subBufferAlignment)
    let share = (4 * operandCount + alignment - 1) / alignment * alignment
    let all = try Tensor(empty: [count, share / 4], on: context)
    try context.run(
      key("kronecker_prepare_all"), over: [paddedPart, count],
      group: [min(64, context.traits.largestGroup), 1],
      array.buffer, places.buffer, all.buffer, part, paddedPart, scale, share / 4)
    return try (0..<count).map {
      Tensor(
        context, shape: [operandCount],
        buffer: try all.buffer.slice(at: $0 * share, byteCount: 4 * operandCount))
    }
  }
}
