import CWebP
import GraftSystem

/// WebP by libwebp, lossy and lossless: the pixels of Pillow's `convert("RGB")`.
///
/// Alpha is dropped, not blended. Of an animation the first picture is read, on a canvas that is black around it. The
/// EXIF orientation, gamma and colour profiles are ignored.
struct WebPDecoder {
  let file: FilePath
  let decoder: ImageDecoder

  static func recognises(_ bytes: [UInt8]) -> Bool {
    bytes.starts(with: "RIFF".utf8) && bytes.dropFirst(8).starts(with: "WEBP".utf8)
  }

  func decode(_ bytes: [UInt8]) throws(DataError) -> RGBImage {
    var features = WebPBitstreamFeatures()
    let status = WebPGetFeatures(bytes, bytes.count, &features)
    if let reason = Self.fault(status) { throw .corruptImage(file, reason: reason) }
    let (width, height) = (Int(features.width), Int(features.height))
    try decoder.check(width: width, height: height, file: file)

    var pixels = [UInt8](repeating: 0, count: width * height * 3)
    let fault = bytes.withUnsafeBufferPointer { bytes in
      pixels.withUnsafeMutableBufferPointer { Self.decode(bytes, into: $0, width: width, height: height) }
    }
    if let fault { throw .corruptImage(file, reason: fault) }
    return try RGBImage(width: width, height: height, pixels: pixels)
  }

  /// Puts the first frame, which a still picture fills with, where it belongs on the canvas; what was wrong, if so.
  private static func decode(
    _ bytes: UnsafeBufferPointer<UInt8>, into canvas: UnsafeMutableBufferPointer<UInt8>, width: Int,
    height: Int
  ) -> String? {
    var data = WebPData(bytes: bytes.baseAddress, size: bytes.count)
    // It refuses a file that is shorter than its header says, and frames that leave the canvas.
    guard let demuxer = WebPDemux(&data) else { return "it is truncated, or its parts do not fit together" }
    defer { WebPDemuxDelete(demuxer) }
    var frame = WebPIterator()
    defer { WebPDemuxReleaseIterator(&frame) }
    guard WebPDemuxGetFrame(demuxer, 1, &frame) != 0, frame.complete != 0 else { return "it has no picture" }
    let (left, top) = (Int(frame.x_offset), Int(frame.y_offset))
    guard left >= 0, top >= 0, left + Int(frame.width) <= width, top + Int(frame.height) <= height else {
      return "its first frame leaves the canvas"
    }
    let stride = width * 3
    let start = top * stride + left * 3
    var config = WebPDecoderConfig()
    guard WebPInitDecoderConfig(&config) != 0 else { return "another version of libwebp is installed" }
    config.output.colorspace = MODE_RGB
    config.output.is_external_memory = 1
    config.output.u.RGBA = WebPRGBABuffer(
      rgba: canvas.baseAddress?.advanced(by: start), stride: Int32(stride), size: canvas.count - start)
    return fault(WebPDecode(frame.fragment.bytes, frame.fragment.size, &config))
  }

  private static func fault(_ status: VP8StatusCode) -> String? {
    switch status {
    case VP8_STATUS_OK: nil
    case VP8_STATUS_NOT_ENOUGH_DATA, VP8_STATUS_SUSPENDED: "the file is truncated"
    case VP8_STATUS_UNSUPPORTED_FEATURE: "it uses what this version of libwebp does not know"
    case VP8_STATUS_OUT_OF_MEMORY: "the system has too little memory for it"
    default: "its data is damaged"
    }
  }
}
