/// A picture in memory: 8 bits a channel, RGB, no padding between rows.
public struct RGBImage: Sendable, Equatable {
  /// Width in pixels, at least 1.
  public let width: Int
  /// Height in pixels, at least 1.
  public let height: Int
  /// `width * height * 3` bytes in the order row, column, channel.
  public let pixels: [UInt8]

  /// Creates an image from its pixels.
  ///
  /// - Throws: ``DataError/badPixels(_:)`` when the pixels do not fill `width` by `height`.
  public init(width: Int, height: Int, pixels: [UInt8]) throws(DataError) {
    let (area, areaOverflows) = width.multipliedReportingOverflow(by: height)
    let (bytes, bytesOverflow) = area.multipliedReportingOverflow(by: 3)
    guard width > 0, height > 0, !areaOverflows, !bytesOverflow, pixels.count == bytes else {
      throw .badPixels(
        "\(pixels.count) bytes are not \(width) by \(height) pixels of 3 bytes, row by row without padding")
    }
    self.width = width
    self.height = height
    self.pixels = pixels
  }
}
