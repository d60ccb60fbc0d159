import GraftRuntime

/// Images cut into patches, one row a patch: what the patch projection multiplies.
///
/// Columns are ordered channel, row, column, as a flattened convolution weight (D, 3, p, p). Images need no gradient.
package enum Patches {
  /// Patches of bytes, normalised: `(byte / 255 - mean) / std`.
  ///
  /// - Parameters:
  ///   - bytes: (B, height, width, 3).
  ///   - patch: side of a patch in pixels.
  ///   - mean: of red, green and blue, in [0, 1].
  ///   - std: of red, green and blue.
  /// - Returns: (B * patches, 3 * patch * patch).
  /// - Throws: ``OperationError/unevenPatches(height:width:patch:fitting:)``.
  package static func extract(bytes: Tensor, patch: Int, mean: [Float], std: [Float]) throws -> Tensor {
    precondition(
      bytes.element == .uint8 && bytes.shape.count == 4 && bytes.shape[3] == 3, "bytes (B, H, W, 3)")
    precondition(mean.count == 3 && std.count == 3, "a mean and a deviation a channel")
    return try extract(
      bytes, batch: bytes.shape[0], height: bytes.shape[1], width: bytes.shape[2], patch: patch,
      scale: std.map { 1 / (255 * $0) }, offset: zip(mean, std).map { -$0 / $1 }, macros: [])
  }

  /// Patches of images (B, 3, height, width) that are normalised already.
  ///
  /// - Throws: ``OperationError/unevenPatches(height:width:patch:fitting:)``.
  package static func extract(normalized images: Tensor, patch: Int) throws -> Tensor {
    precondition(
      images.element == .float32 && images.shape.count == 4 && images.shape[1] == 3, "(B, 3, H, W)")
    return try extract(
      images, batch: images.shape[0], height: images.shape[2], width: images.shape[3], patch: patch,
      scale: [1, 1, 1], offset: [0, 0, 0], macros: [.init("FLOATS", 1)])
  }

  private static func extract(
    _ images: Tensor, batch: Int, height: Int, width: Int, patch: Int, scale: [Float], offset: [Float],
    macros: [KernelKey.Macro]
  ) throws -> Tensor {
    guard patch > 0, height % patch == 0, width % patch == 0 else {
      throw OperationError.unevenPatches(
        height: height, width: width, patch: patch, fitting: sizes(near: [height, width], patch: patch))
    }
    let context = images.context
    let rows = batch * (height / patch) * (width / patch)
    let output = try Tensor(empty: [rows, 3 * patch * patch], on: context)
    let strips = rows * 3 * patch
    let plan = ElementwisePlan(count: output.count, on: context)
    // A CPU's item takes four patches, another device's a load's worth of the result.
    let isRuns = plan.group > 1
    let perItem = isRuns ? plan.perGroup : context.traits.isCPU ? 12 * patch : 1
    try context.run(
      KernelKey("patch_embed", "extract_patches", macros: plan.macros + macros),
      over: [isRuns ? plan.items : (strips + perItem - 1) / perItem], group: [plan.group], images.buffer,
      output.buffer, height, width, scale[0], scale[1], scale[2], offset[0], offset[1], offset[2], patch,
      strips, perItem)
    return output
  }

  /// The nearest multiples of `patch` below and above the sides that are none.
  private static func sizes(near sides: [Int], patch: Int) -> [Int] {
    guard patch > 0 else { return [] }
    let near = sides.filter { $0 % patch != 0 }.flatMap { [$0 / patch * patch, ($0 / patch + 1) * patch] }
    return Set(near).filter { $0 > 0 }.sorted()
  }
}
