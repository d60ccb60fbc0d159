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
    let count = batch * height * width * 3
    let description = "\(bytes ? "bytes" : "floats") \(batch)x\(height)x\(width) patch \(patch)"
    let cost = OperationCase.Cost(bytes: Double(count * (bytes ? 5 : 8)))
    let places = (0..<batch).flatMap { image in
      corners(height: height, width: width, patch: patch).map { (image, $0.top, $0.left) }
    }
    /// One value for each image, patch, channel, row and column.
    @Sendable func patches(_ value: (_ image: Int, _ channel: Int, _ row: Int, _ column: Int) -> Double)
      -> [Double]
    {
      places.flatMap { image, top, left in
        (0..<3 * patch * patch).map { place in
          let (channel, offset) = place.quotientAndRemainder(dividingBy: patch * patch)
          return value(image, channel, top + offset / patch, left + offset % patch)
        }
      }
    }
    guard bytes else {
      return OperationCase(
        "patch_embed", description, inputs: [.init([batch, 3, height, width], in: -2...2)], terms: 1,
        cost: cost,
        forward: { _, inputs in try Patches.extract(normalized: inputs[0], patch: patch) },
        reference: { inputs in
          let values = patches { inputs[0][(($0 * 3 + $1) * height + $2) * width + $3] }
          return .init(values, magnitudes: values.map(abs))
        })
    }
    // On the device before anything is timed.
    let pixels = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 7) }
    return OperationCase(
      "patch_embed", description, inputs: [], terms: 1, cost: cost,
      prepared: { context in
        let images = try Tensor(bytes: pixels, shape: [batch, height, width, 3], on: context)
        return { _, _ in try Patches.extract(bytes: images, patch: patch, mean: mean, std: std) }
      },
      reference: { _ in
        let values = patches { image, channel, row, column in
          let byte = Double(pixels[((image * height + row) * width + column) * 3 + channel])
          return (byte / 255 - Double(mean[channel])) / Double(std[channel])
        }
        return .init(values, magnitudes: values.map { _ in 3 })
      })
  }

  private static func corners(height: Int, width: Int, patch: Int) -> [(top: Int, left: Int)] {
    stride(from: 0, to: height, by: patch).flatMap { top in
      stride(from: 0, to: width, by: patch).map { (top, $0) }
    }
  }
}
