import CTurboJPEG
import GraftSystem

/// JPEG by TurboJPEG, with the accurate transform and smooth up-sampling: the pixels Pillow gives.
///
/// It can decode to a half, a quarter or an eighth of the size: of each block of eight by eight pixels only the coarse
/// part is transformed.
///
/// The EXIF orientation is ignored, as torchvision and timm ignore it: training and prediction see the pixels as
/// they are stored.
struct JPEGDecoder {
  let file: FilePath
  let decoder: ImageDecoder

  func decode(
    _ bytes: [UInt8], dividedBy divisor: ImageDecoder.Divisor = { _, _ in 1 }
  ) throws(DataError) -> RGBImage {
    guard let handle = tjInitDecompress() else {
      throw .corruptImage(file, reason: "the JPEG decoder cannot start")
    }
    defer { tjDestroy(handle) }

    var width: Int32 = 0
    var height: Int32 = 0
    var subsampling: Int32 = -1
    var space: Int32 = -1
    let header = tjDecompressHeader3(
      handle, bytes, UInt(bytes.count), &width, &height, &subsampling, &space)
    // A rare chroma subsampling that has no name in TurboJPEG is an error to the header call only.
    guard header == 0 || (width > 0 && height > 0 && space >= 0 && subsampling < 0) else {
      throw .corruptImage(file, reason: message(handle))
    }
    try decoder.check(width: Int(width), height: Int(height), file: file)
    // TurboJPEG takes the largest of its scales that fits into the size asked for, which is this one.
    let divisor = Int32(divisor(Int(width), Int(height)))
    width = (width + divisor - 1) / divisor
    height = (height + divisor - 1) / divisor

    // TurboJPEG turns every colour space but four-channel print into RGB.
    let isPrint = space == Int32(TJCS_CMYK.rawValue) || space == Int32(TJCS_YCCK.rawValue)
    let format = isPrint ? TJPF_CMYK : TJPF_RGB
    let channels = isPrint ? 4 : 3
    var pixels = decoder.buffers.take(Int(width) * Int(height) * channels)
    // The limit on scans keeps a small progressive file from costing minutes.
    let status = tjDecompress2(
      handle, bytes, UInt(bytes.count), &pixels, width, width * Int32(channels), height,
      Int32(format.rawValue), Int32(TJFLAG_LIMITSCANS))
    if status != 0 {
      let isFatal = tjGetErrorCode(handle) != Int32(TJERR_WARNING.rawValue)
      if isFatal { throw .corruptImage(file, reason: message(handle)) }
      // Of the warnings only the end that is missing loses picture; Pillow refuses it too, and takes the others.
      if !hasEnd(bytes) { throw .corruptImage(file, reason: "the file is truncated") }
    }
    return try RGBImage(
      width: Int(width), height: Int(height), pixels: isPrint ? Self.rgb(fromInvertedCMYK: pixels) : pixels)
  }

  /// Whether an end-of-image marker follows the last start of a scan.
  ///
  /// Scan data never holds either by chance.
  private func hasEnd(_ bytes: [UInt8]) -> Bool {
    for index in stride(from: bytes.count - 2, through: 0, by: -1) where bytes[index] == 0xFF {
      if bytes[index + 1] == 0xD9 { return true }
      if bytes[index + 1] == 0xDA { return false }
    }
    return false
  }

  private func message(_ handle: tjhandle) -> String {
    tjGetErrorStr2(handle).map { String(cString: $0) } ?? "unknown JPEG error"
  }

  /// Adobe stores ink inverted (255 is no ink), and every reader assumes it: `rgb = k * c / 255`, rounded so that
  /// it equals Pillow's integers.
  private static func rgb(fromInvertedCMYK pixels: [UInt8]) -> [UInt8] {
    var rgb = [UInt8]()
    rgb.reserveCapacity(pixels.count / 4 * 3)
    for pixel in stride(from: 0, to: pixels.count, by: 4) {
      let paper = Int(pixels[pixel + 3])
      for channel in 0..<3 {
        let ink = 255 - Int(pixels[pixel + channel])
        rgb.append(UInt8(paper - (2 * ink * paper + 255) / 510))
      }
    }
    return rgb
  }
}
