public import SystemPackage

/// Decodes one picture and crops it as evaluation does, for prediction.
///
/// - Parameters:
///   - path: A JPEG, PNG or WebP file.
///   - transform: How it is resized; only the evaluation part is used.
///   - imageSize: Side of the crop in pixels.
///   - maximumPixels: Largest picture that is decoded, as ``LoadingOptions/maximumPixels``.
/// - Returns: `imageSize * imageSize * 3` bytes in the order row, column, channel.
/// - Throws: ``DataError``, naming the file.
public func loadImage(
  _ path: FilePath, transform: ImageTransform, imageSize: Int,
  maximumPixels: Int = LoadingOptions.defaultMaximumPixels
) throws(DataError) -> [UInt8] {
  try transform.check(imageSize: imageSize)
  let image = try ImageDecoder(maximumPixels: maximumPixels).decode(file: path)
  return CropPlan(width: image.width, height: image.height, transform: transform, imageSize: imageSize)
    .pixels(of: image, interpolation: transform.interpolation)
}
