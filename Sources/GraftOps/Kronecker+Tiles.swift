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
  func runTile(
    _ x: Tensor, _ operands: Tensor, bias: Tensor? = nil, scale: Float, mask: DropoutMask?,
    keptInner: Tensor? = nil, keptMixed: Tensor? = nil, addingTo sum: Tensor? = nil, into y: Tensor?,
    flags: [String]
  ) throws {
    let flags =
      flags + (mask == nil ? [] : ["DROPOUT"]) + (keptInner == nil ? [] : ["KEEP"])
      + (keptMixed == nil ? [] : ["KEEP_MIXED"]) + (sum == nil ? [] : ["ADD"]) + (y == nil ? [] : ["OUTPUT"])
    let mask = mask ?? DropoutMask(key: (0, 0, 0), probability: 0)
    let tokens = 64 / experts
    // Operands that the macros leave out are never touched: any buffer stands in for them.
    try context.run(
      tileKey("kronecker_tile", flags), over: [(x.rows + tokens - 1) / tokens * 64], group: [64], x.buffer,
      operands.buffer, (bias ?? x).buffer, (sum ?? x).buffer, (y ?? operands).buffer,
      (keptInner ?? operands).buffer, (keptMixed ?? operands).buffer, x.rows * experts, part, paddedPart,
      scale,
      mask.key.0, mask.key.1, mask.key.2, mask.threshold, mask.scale)
  }

  func backwardInTiles(
    _ x: Tensor, _ dy: Tensor, _ operands: Tensor, inner: Tensor?, scale: Float, mask: DropoutMask?,
    addingTo sum: Tensor?, into dx: Tensor?, targets: Targets
  ) throws {
    func lanes() throws -> Tensor { try Tensor(empty: [x.rows, experts, paddedLanes], on: context) }
    let any = targets.any
    guard any != nil || dx != nil else { return }
    let (dq, dz) = any == nil ? (nil, nil) : (try lanes(), try lanes())
    try runTile(
      dy, operands, scale: scale, mask: mask, keptInner: dq, keptMixed: dz, addingTo: sum, into: dx,
      flags: ["BACKWARD"])
    guard let any, let dq, let dz, let inner else { return }
    let rows = x.rows * experts
    let mixed = try lanes()
    let quads = rows * paddedLanes / 4
    try context.run(
      tileKey("kronecker_mix"), over: [quads], group: [64], inner.buffer, operands.buffer, mixed.buffer, part,
      paddedPart, quads)
    // A fixed target, not the device's number of units: the same bits on every device.
    let tokensOfSlice = max(1, (x.rows + 63) / 64)
    let slices = (x.rows + tokensOfSlice - 1) / tokensOfSlice
    let blocks = (part + 63) / 64
    // Of every slice dU and dV, dA's lanes, and dc; the next begins at a whole quad.
    let biasOffset = 2 * paddedLanes * part + mixCount
    let share = biasOffset + (experts * part + 3) / 4 * 4
    let partials = try Tensor(empty: [slices, share], on: context)
    try context.run(
      tileKey("kronecker_slices"), over: [slices * 2 * blocks * sliceItems], group: [sliceItems],
      mixed.buffer,
      dy.buffer, dz.buffer, x.buffer, partials.buffer, rows, part, tokensOfSlice * experts, blocks, share)
    if targets.a != nil {
      try context.run(
        tileKey("kronecker_mix_slices"), over: [slices * mixCount / 4], group: [64], dq.buffer, inner.buffer,
        partials.buffer, 2 * paddedLanes * part, rows, tokensOfSlice * experts, slices, share)
    }
    if targets.bias != nil {
      try context.run(
        tileKey("kronecker_bias_slices"), over: [slices * experts * part], group: [64], dy.buffer,
        partials.buffer, biasOffset, rows, part, tokensOfSlice * experts, slices, share)
    }
    try context.run(
      tileKey("kronecker_add_slices"),
      over: [2 * ranks * part + experts * experts * experts + experts * part],
      group: [64], partials.buffer, (targets.a ?? any).buffer, (targets.u ?? any).buffer,
      (targets.v ?? any).buffer, (targets.bias ?? any).buffer, slices, part, share, scale,
      targets.a == nil ? 0 : 1, targets.u == nil ? 0 : 1, targets.v == nil ? 0 : 1,
      targets.bias == nil ? 0 : 1)
  }
}
