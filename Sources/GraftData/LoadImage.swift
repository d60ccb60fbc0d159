public import Graft
public import SystemPackage

/// Decodes one picture and crops it as evaluation does, for prediction.
///
/// - Parameters:
///   - path: A JPEG, PNG or WebP file.
///   - transform: How it is resized; only the evaluation part is used.
///   - imageSize: Height and width of the crop, in pixels.
///   - maximumPixels: Largest picture that is decoded, as ``LoadingOptions/maximumPixels``.
///   - scaledDecoding: Whether a large JPEG may be decoded smaller, as ``LoadingOptions/scaledDecoding``.
/// - Returns: `imageSize.count * 3` bytes in the order row, column, channel.
/// - Throws: ``DataError``, naming the file.
public func loadImage(
  _ path: FilePath, transform: ImageTransform, imageSize: ImageSize,
  maximumPixels: Int = LoadingOptions.defaultMaximumPixels, scaledDecoding: Bool = false
) throws(DataError) -> [UInt8] {
  try transform.check(imageSize: imageSize)
  let options = LoadingOptions(maximumPixels: maximumPixels, scaledDecoding: scaledDecoding)
  return try PictureLoader(options).evaluationCrop(path, transform, imageSize: imageSize)
}
