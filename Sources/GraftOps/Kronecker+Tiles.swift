import GraftRuntime

extension Kronecker {
  /// A GPU whose groups and local memory hold the tiles of Kernels/kronecker_tiles.cl.
  var isTiled: Bool {
    let traits = context.traits
    guard !traits.isCPU, experts <= 64, traits.largestGroup >= max(64, sliceItems) else { return false }
    // The arrays of kronecker_tile, and of kronecker_slices.
    let tile = max(64 * 36 + 32 * paddedLanes, 64 * (paddedLanes + 4)) + paddedLanes * 68
    let slices = max(32 * paddedLanes + 32 * 68, 64 * paddedLanes)
    return 4 * max(tile, slices) <= traits.localMemory
  }

  /// Work-items of a group of kronecker_slices.
  private var sliceItems: Int { 4 * paddedLanes }

  private func tileKey(_ function: String, _ flags: [String] = []) -> KernelKey {
    let traits = context.traits
    var macros: [KernelKey.Macro] = [.init("EXPERTS", experts), .init("RANK", rank)]
    if traits.chip == "tgllp" { macros.append(.init("AHEAD", 2)) }
    macros += (flags + (part % 4 == 0 ? ["WHOLE"] : [])).map { .init($0, 1) }
    var key = KernelKey("kronecker_tiles", function, macros: macros + traits.narrowWaveMacros)
    key.takesLargeRegisterFile = function == "kronecker_tile" && traits.hasLargeRegisterFiles
    return key
  }

  /// One pass over x, or backwards over dy.
  private struct Pass {
    var flags: [String]
    /// In front: its statistics, and backwards what it read.
    var norm: (LayerNorm, statistics: Tensor, read: Tensor)?
    var bias: Tensor?
    var mask: DropoutMask?
    var inner, mixed: Tensor?
    var sum: Tensor?
  }

  private func run(
    _ pass: Pass, _ x: Tensor, _ operands: Tensor, scale: Float, into y: Tensor?
  ) throws {
    let flags =
      pass.flags + (pass.norm == nil ? [] : ["NORM"]) + (pass.bias == nil ? [] : ["BIAS"])
      + (pass.mask == nil ? [] : ["DROPOUT"]) + (pass.inner == nil ? [] : ["KEEP"])
      + (pass.mixed == nil ? [] : ["KEEP_MIXED"]) + (pass.sum == nil ? [] : ["ADD"])
      + (y == nil ? [] : ["OUTPUT"])
    let mask = pass.mask ?? DropoutMask(key: (0, 0, 0), probability: 0)
    let tokens = 64 / experts
    // Operands that the macros leave out are never touched: any buffer stands in for them.
    try context.run(
      tileKey("kronecker_tile", flags), over: [(x.rows + tokens - 1) / tokens * 64], group: [64], x.buffer,
      operands.buffer, (pass.bias ?? x).buffer, (pass.sum ?? x).buffer, (y ?? operands).buffer,
      (pass.inner ?? operands).buffer, (pass.mixed ?? operands).buffer, (pass.norm?.read ?? x).buffer,
      (pass.norm?.0.weight ?? x).buffer, (pass.norm?.0.bias ?? x).buffer,
      (pass.norm?.statistics ?? operands).buffer, x.rows * experts, part, paddedPart, scale, mask.key.0,
      mask.key.1, mask.key.2, mask.threshold, mask.scale, pass.norm?.0.epsilon ?? 0)
  }

  func forwardInTiles(
    _ x: Tensor, behind norm: LayerNorm?, _ operands: Tensor, bias: Tensor?, scale: Float, mask: DropoutMask?,
    inner: Tensor?, into y: Tensor
  ) throws -> Kept {
    let statistics = try norm.map { _ in try Tensor(empty: [x.rows, 4], on: context) }
    let kept = Kept(inner: inner, mixed: try inner.map { _ in try lanes(x.rows) }, statistics: statistics)
    var pass = Pass(flags: [], bias: bias, mask: mask, inner: kept.inner, mixed: kept.mixed)
    if let norm, let statistics { pass.norm = (norm, statistics, x) }
    try run(pass, x, operands, scale: scale, into: y)
    return kept
  }

  func backwardInTiles(
    _ x: Tensor, behind norm: LayerNorm?, _ dy: Tensor, _ operands: Tensor, _ kept: Kept, scale: Float,
    mask: DropoutMask?, addingTo sum: Tensor?, into dx: Tensor?, targets: Targets
  ) throws {
    let any = targets.any
    guard any != nil || dx != nil else { return }
    let (dq, dz) = any == nil ? (nil, nil) : (try lanes(x.rows), try lanes(x.rows))
    var pass = Pass(flags: ["BACKWARD"], mask: mask, inner: dq, mixed: dz, sum: sum)
    if let norm, let statistics = kept.statistics { pass.norm = (norm, statistics, x) }
    try run(pass, dy, operands, scale: scale, into: dx)
    guard let any, let dq, let dz, let inner = kept.inner, let mixed = kept.mixed else { return }
    let rows = x.rows * experts
    // A fixed target, not the device's number of units: the same bits on every device.
    let tokensOfSlice = max(1, (x.rows + 63) / 64)
    let slices = (x.rows + tokensOfSlice - 1) / tokensOfSlice
    let blocks = (part + 63) / 64
    // Of every slice dU and dV, dA's lanes, and dc; the next begins at a whole quad.
    let share = 2 * paddedLanes * part + mixCount + (experts * part + 3) / 4 * 4
    let partials = try Tensor(empty: [slices, share], on: context)
    let channels = targets.bias == nil ? 0 : experts * part
    let groups = 2 * blocks + (mixCount / 4 + channels + sliceItems - 1) / sliceItems
    try context.run(
      tileKey("kronecker_slices", norm == nil ? [] : ["NORM"]), over: [slices * groups * sliceItems],
      group: [sliceItems], mixed.buffer, dy.buffer, dz.buffer, x.buffer, dq.buffer, inner.buffer,
      (norm?.weight ?? x).buffer, (norm?.bias ?? x).buffer, (kept.statistics ?? x).buffer, partials.buffer,
      rows, part, tokensOfSlice * experts, blocks, groups, channels, share)
    try context.run(
      tileKey("kronecker_add_slices"),
      over: [2 * ranks * part + experts * experts * experts + experts * part],
      group: [64], partials.buffer, (targets.a ?? any).buffer, (targets.u ?? any).buffer,
      (targets.v ?? any).buffer, (targets.bias ?? any).buffer, slices, part, share, scale,
      targets.a == nil ? 0 : 1, targets.u == nil ? 0 : 1, targets.v == nil ? 0 : 1,
      targets.bias == nil ? 0 : 1)
  }
}
