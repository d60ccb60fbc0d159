import GraftRuntime

extension Tape {
  /// Depth-wise two-dimensional convolution, channels last.
  ///
  /// - Parameters:
  ///   - input: (B, H, W, C).
  ///   - weight: (C, 1, k, k) with an odd k.
  ///   - bias: (C), if any.
  ///   - stride: pixels between neighbouring outputs.
  ///   - padding: zeros around the grid, in pixels.
  /// - Returns: (B, H', W', C) with H' = (H + 2 padding - k) / stride + 1.
  /// - Throws: ``OperationError`` for an even kernel and when nothing would be left of the grid.
  package func depthwiseConv(
    _ input: Tensor, weight: Tensor, bias: Tensor? = nil, stride: Int = 1, padding: Int = 0
  ) throws -> Tensor {
    precondition(input.shape.count == 4, "(B, H, W, C)")
    let shape = input.shape
    let plan = try DepthwiseConv(
      images: shape[0], grid: (shape[1], shape[2]), front: 0, weight: weight, bias: bias, stride: stride,
      padding: padding)
    return try depthwise(
      input, weight: weight, bias: bias, plan,
      shape: [shape[0], plan.output.height, plan.output.width, shape[3]])
  }

  /// The same on tokens: those in front of the grid pass unchanged, and so do their gradients.
  ///
  /// - Parameters:
  ///   - input: (B, F + H*W, C).
  ///   - grid: H and W.
  ///   - front: F, tokens ahead of the grid; 0 where there are none.
  /// - Returns: (B, F + H'*W', C).
  /// - Throws: ``OperationError`` for an even kernel and when nothing would be left of the grid.
  package func depthwiseConvOnTokens(
    _ input: Tensor, grid: (Int, Int), weight: Tensor, bias: Tensor? = nil, stride: Int = 1, padding: Int = 0,
    front: Int
  ) throws -> Tensor {
    precondition(
      input.shape.count == 3 && front >= 0 && input.shape[1] == front + grid.0 * grid.1, "(B, F + H*W, C)")
    let plan = try DepthwiseConv(
      images: input.shape[0], grid: grid, front: front, weight: weight, bias: bias, stride: stride,
      padding: padding)
    let tokens = front + plan.output.height * plan.output.width
    return try depthwise(
      input, weight: weight, bias: bias, plan, shape: [input.shape[0], tokens, input.width])
  }

  private func depthwise(
    _ input: Tensor, weight: Tensor, bias: Tensor?, _ plan: DepthwiseConv, shape: [Int]
  ) throws -> Tensor {
    precondition(input.width == plan.channels, "one kernel a channel")
    let taps = try plan.prepare(weight)
    let output = try Tensor(empty: shape, on: input.context)
    try plan.forward(input, taps: taps, bias: bias, into: output)
    guard needsGradient(input, weight, bias) else { return output }
    record(output) { gradient, gradients in
      try plan.addWeightGradients(input: input, gradient: gradient, weight: weight, bias: bias)
      try gradients.accumulate(into: input) { sum in
        let result = try Tensor(empty: input.shape, on: input.context)
        try plan.inputGradient(gradient, taps: taps, addingTo: sum, into: result)
        return result
      }
    }
    return output
  }
}

/// The geometry of a depth-wise convolution and its kernels.
private struct DepthwiseConv {
  typealias Grid = (height: Int, width: Int)

  let context: Context
  let images: Int
  let input: Grid
  let output: Grid
  let front: Int
  let side: Int
  let stride: Int
  let padding: Int
  let channels: Int
  let plan: ChannelPlan

  init(
    images: Int, grid: (Int, Int), front: Int, weight: Tensor, bias: Tensor?, stride: Int, padding: Int
  ) throws {
    precondition(weight.shape.count == 4 && weight.shape[1] == 1, "(C, 1, k, k)")
    precondition(weight.shape[2] == weight.shape[3], "a square kernel")
    precondition(stride > 0 && padding >= 0, "a stride of one or more, no negative padding")
    precondition(bias == nil || bias?.count == weight.shape[0], "one bias a channel")
    let side = weight.shape[2]
    guard side % 2 == 1 else { throw OperationError.kernelSide(side) }
    let room = (height: grid.0 + 2 * padding - side, width: grid.1 + 2 * padding - side)
    guard room.height >= 0, room.width >= 0 else {
      throw OperationError.kernelLargerThanImage(side: side, height: grid.0, width: grid.1, padding: padding)
    }
    context = weight.context
    self.images = images
    input = grid
    output = (room.height / stride + 1, room.width / stride + 1)
    self.front = front
    self.side = side
    self.stride = stride
    self.padding = padding
    channels = weight.shape[0]
    plan = ChannelPlan(channels: channels, on: context)
  }

  /// Output pixels that share taps and pixels in registers; the output must hold a whole tile.
  ///
  /// Two rows of four keep loads below multiplications, and larger tiles gain nothing more. More taps than 3 x 3 fit no
  /// register file; a GPU keeps a line of pixels all the same.
  private func tile(_ output: Grid) -> Grid {
    let isLarge = side > 3
    guard !isLarge || !context.traits.isCPU else { return (1, 1) }
    return (output.height >= 2 && !isLarge ? 2 : 1, output.width >= 4 ? 4 : 1)
  }

  private func key(
    _ function: String, tile: Grid, isPadded: Bool, vectors: ChannelPlan? = nil
  ) -> KernelKey {
    var macros: [KernelKey.Macro] = [
      .init("SIDE", side), .init("STRIDE", stride), .init("PADDED", isPadded ? 1 : 0),
      .init("ROWS", tile.height), .init("COLUMNS", tile.width),
    ]
    macros += (vectors ?? plan).macros
    if !context.traits.isCPU {
      macros += [.init("SPREAD", 1), .init("TAP_ROWS", 1)]
    }
    macros += context.traits.waveMacros
    return KernelKey("depthwise_conv", function, macros: macros)
  }

  func prepare(_ weight: Tensor) throws -> Tensor {
    try transposeMatrices(weight.reshaped([1, channels, side * side])).reshaped([side * side, channels])
  }

  func forward(_ x: Tensor, taps: Tensor, bias: Tensor?, into y: Tensor) throws {
    let tile = tile(output)
    let kernel = key("depthwise_forward", tile: tile, isPadded: padding > 0)
    // Without a bias the kernel does not read it: any buffer stands in.
    try context.run(
      kernel, over: spread(images * strips(output, tile), tiles: output.width, tile.width), group: group,
      x.buffer, taps.buffer,
      (bias ?? taps).buffer, y.buffer, images, input.height, input.width, output.height, output.width,
      channels, padding, front, bias == nil ? 0 : 1)
  }

  func inputGradient(_ dy: Tensor, taps: Tensor, addingTo sum: Tensor?, into dx: Tensor) throws {
    // At stride 1 it is a convolution over strips of dx, otherwise a gathering row by row.
    let tile: Grid = stride == 1 ? tile(input) : (1, 1)
    let kernel = key(
      "depthwise_input_gradient", tile: tile, isPadded: stride > 1 || padding < side - 1)
    try context.run(
      kernel, over: spread(images * strips(input, tile), tiles: input.width, tile.width), group: group,
      dy.buffer, taps.buffer,
      (sum ?? dy).buffer, dx.buffer, images, input.height, input.width, output.height, output.width, channels,
      padding, front, sum == nil ? 0 : 1)
  }

  func addWeightGradients(input x: Tensor, gradient dy: Tensor, weight: Tensor, bias: Tensor?) throws {
    let weightSum = weight.requiresGradient ? weight.gradientSum : nil
    let biasSum = bias?.requiresGradient == true ? bias?.gradientSum : nil
    guard let target = weightSum ?? biasSum else { return }
    let tile = tile(output)
    let strips = images * strips(output, tile)
    let stripsPerBlock = (strips + 15) / 16
    let blocks = (strips + stripsPerBlock - 1) / stripsPerBlock
    let partials = try Tensor(empty: [blocks, side * side + 1, channels], on: context)
    // A row of more than five taps and its pixels are too many registers for four channels.
    let vectors = ChannelPlan(channels: channels, on: context, widest: side > 5 ? 2 : 4)
    try context.run(
      key("depthwise_weight_partials", tile: tile, isPadded: padding > 0, vectors: vectors),
      over: spread(blocks, tiles: side, 1), group: group, x.buffer, dy.buffer, partials.buffer, images,
      input.height, input.width, output.height,
      output.width, channels, padding, front, stripsPerBlock, blocks)
    try context.run(
      key("depthwise_weight_finish", tile: tile, isPadded: padding > 0),
      over: [channels / plan.vector], group: [context.traits.isCPU ? 1 : group[0] * group[1]],
      partials.buffer, (weightSum ?? target).buffer,
      (biasSum ?? target).buffer, channels, blocks, weightSum == nil ? 0 : 1, biasSum == nil ? 0 : 1)
  }

  private func strips(_ grid: Grid, _ tile: Grid) -> Int { (grid.height + tile.height - 1) / tile.height }

  /// Work-items: along the channels, over the strips or blocks, and on GPUs over what of each is shared.
  private func spread(_ strips: Int, tiles length: Int, _ perTile: Int) -> [Int] {
    [plan.items, strips] + (context.traits.isCPU ? [] : [(length + perTile - 1) / perTile])
  }

  /// Two waves: as many of them along the channels as there are chunks, the others along the strips.
  private var group: [Int] {
    guard !context.traits.isCPU else { return [1, 1] }
    let sizes = context.traits.maxWorkItemSizes
    let limit = min(64, context.traits.maxWorkGroupSize)
    var (along, down) = (1, 1)
    while 2 * along <= min(limit, sizes[0]), along < plan.items { along *= 2 }
    while 2 * along * down <= limit, 2 * down <= (sizes.count > 1 ? sizes[1] : 1) { down *= 2 }
    return [along, down, 1]
  }
}
