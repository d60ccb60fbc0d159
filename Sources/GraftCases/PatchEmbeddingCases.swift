import GraftOps

/// Cases of cutting images into patches.
package enum PatchEmbeddingCases {
  /// One patch, oblong images, odd patches.
  package static let checks: [OperationCase] = [
    (1, 1, 1, 1), (2, 3, 2, 4), (3, 2, 3, 5), (1, 4, 4, 14), (1, 2, 1, 16),
  ]
  .flatMap { batch, down, across, patch in
    [
      make(batch: batch, height: down * patch, width: across * patch, patch: patch, bytes: true),
      make(batch: batch, height: down * patch, width: across * patch, patch: patch, bytes: false),
    ]
  }
  /// A batch of 8 at 224 pixels.
  package static let benchmarks = [
    make(batch: 8, height: 224, width: 224, patch: 16, bytes: true),
    make(batch: 8, height: 224, width: 224, patch: 16, bytes: false),
  ]

  private static let mean: [Float] = [0.485, 0.456, 0.406]
  private static let std: [Float] = [0.229, 0.224, 0.225]

  private static func make(batch: Int, height: Int, width: Int, patch: Int, bytes: Bool) -> OperationCase {
    let shape = bytes ? [batch, height, width, 3] : [batch, 3, height, width]
    let count = batch * height * width * 3
    return OperationCase(
      "patch_embed", "\(bytes ? "bytes" : "floats") \(batch)x\(height)x\(width) patch \(patch)",
      inputs: [.init(shape, in: bytes ? 0...255 : -2...2)], terms: 1,
      cost: .init(bytes: Double(count * (bytes ? 5 : 8))),
      forward: { _, inputs in
        guard bytes else { return try Patches.extract(normalized: inputs[0], patch: patch) }
        let pixels = try inputs[0].floats().map { UInt8($0) }
        let images = try Tensor(bytes: pixels, shape: shape, on: inputs[0].context)
        return try Patches.extract(bytes: images, patch: patch, mean: mean, std: std)
      },
      reference: { inputs in
        var values: [Double] = []
        for image in 0..<batch {
          for (top, left) in corners(height: height, width: width, patch: patch) {
            for channel in 0..<3 {
              for offset in 0..<patch * patch {
                let (row, column) = (top + offset / patch, left + offset % patch)
                if bytes {
                  let byte = inputs[0][((image * height + row) * width + column) * 3 + channel].rounded(.down)
                  values.append((byte / 255 - Double(mean[channel])) / Double(std[channel]))
                } else {
                  values.append(inputs[0][((image * 3 + channel) * height + row) * width + column])
                }
              }
            }
          }
        }
        return .init(values, magnitudes: values.map { bytes ? 3 : abs($0) })
      })
  }

  private static func corners(height: Int, width: Int, patch: Int) -> [(top: Int, left: Int)] {
    stride(from: 0, to: height, by: patch).flatMap { top in
      stride(from: 0, to: width, by: patch).map { (top, $0) }
    }
  }
}
