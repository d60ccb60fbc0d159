import CPNG
import GraftSystem

/// PNG by libpng's simplified interface, arranged so that the pixels equal those of Pillow's `convert("RGB")`.
///
/// Pillow ignores gamma, colour profiles and transparency (alpha is dropped, not blended), and takes the high byte
/// of 16-bit channels. libpng would honour all of them, so it gets only the chunks that hold the picture; that also
/// keeps compressed text and profiles of hostile files from ever being unpacked.
///
/// Two deliberate differences: 16-bit grey keeps its high byte, where Pillow clips at 255 and gives a white picture;
/// and 16-bit images *with alpha* are rounded to 8 bits, so that a channel may be one above Pillow's.
struct PNGDecoder {
  static let signature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]

  let file: FilePath
  let decoder: ImageDecoder

  func decode(_ bytes: [UInt8]) throws(DataError) -> RGBImage {
    let (header, chunks) = try pictureChunks(bytes)
    try decoder.check(width: header.width, height: header.height, file: file)

    let hasAlpha = header.colourType & 4 != 0
    let isGrey = header.colourType & 2 == 0
    let isWide = header.bitDepth == 16 && !hasAlpha
    let samples = header.width * header.height * (isWide && isGrey ? 1 : hasAlpha ? 4 : 3)
    if isWide {
      // Sixteen bits in and out, "linear" on both sides: libpng changes nothing.
      let format = PNG_FORMAT_FLAG_LINEAR | (isGrey ? 0 : PNG_FORMAT_FLAG_COLOR)
      let words = try read(chunks, header, as: UInt32(format), flags: 0, samples, of: UInt16.self)
      let pixels: [UInt8]
      if isGrey {
        pixels = words.flatMap { [UInt8](repeating: UInt8($0 >> 8), count: 3) }
      } else {
        pixels = words.map { UInt8($0 >> 8) }
      }
      return try RGBImage(width: header.width, height: header.height, pixels: pixels)
    }
    let format = PNG_FORMAT_FLAG_COLOR | (hasAlpha ? PNG_FORMAT_FLAG_ALPHA : 0)
    var pixels = try read(
      chunks, header, as: UInt32(format), flags: UInt32(PNG_IMAGE_FLAG_16BIT_sRGB), samples, of: UInt8.self)
    if hasAlpha { Self.dropAlpha(&pixels) }
    return try RGBImage(width: header.width, height: header.height, pixels: pixels)
  }

  private struct Header {
    let width: Int
    let height: Int
    let bitDepth: UInt8
    let colourType: UInt8
  }

  /// The file with nothing but its header, palette, picture data and end.
  private func pictureChunks(_ bytes: [UInt8]) throws(DataError) -> (Header, [UInt8]) {
    func word(_ at: Int) -> Int {
      bytes[at..<at + 4].reduce(0) { $0 << 8 | Int($1) }
    }
    var header: Header?
    var kept = Self.signature
    var offset = Self.signature.count
    while offset + 12 <= bytes.count {
      let length = word(offset)
      let kind = bytes[offset + 4..<offset + 8]
      let end = offset + 12 + length
      guard end <= bytes.count else { break }
      if header == nil {
        guard kind.elementsEqual("IHDR".utf8), length == 13 else {
          throw .corruptImage(file, reason: "it does not start with a PNG header")
        }
        header = Header(
          width: word(offset + 8), height: word(offset + 12), bitDepth: bytes[offset + 16],
          colourType: bytes[offset + 17])
      }
      if ["IHDR", "PLTE", "IDAT", "IEND"].contains(where: { kind.elementsEqual($0.utf8) }) {
        kept += bytes[offset..<end]
      }
      if let header, kind.elementsEqual("IEND".utf8) { return (header, kept) }
      offset = end
    }
    throw .corruptImage(file, reason: "the file is truncated")
  }

  /// Decodes to `samples` values of 8 or 16 bits.
  private func read<Sample: FixedWidthInteger>(
    _ chunks: [UInt8], _ header: Header, as format: UInt32, flags: UInt32, _ samples: Int, of: Sample.Type
  ) throws(DataError) -> [Sample] {
    // libpng remembers where this structure lies, from the first call to the last.
    let image = UnsafeMutablePointer<png_image>.allocate(capacity: 1)
    image.initialize(to: png_image())
    image.pointee.version = UInt32(PNG_IMAGE_VERSION)
    defer {
      png_image_free(image)
      image.deallocate()
    }
    let result: [Sample]? = chunks.withUnsafeBytes { memory in
      guard png_image_begin_read_from_memory(image, memory.baseAddress, memory.count) != 0,
        Int(image.pointee.width) == header.width, Int(image.pointee.height) == header.height
      else { return nil }
      image.pointee.format = format
      image.pointee.flags |= flags
      var pixels = [Sample](repeating: 0, count: samples)
      let stride = Int32(samples / header.height)
      return png_image_finish_read(image, nil, &pixels, stride, nil) != 0 ? pixels : nil
    }
    guard let result else {
      throw .corruptImage(file, reason: Self.message(image.pointee))
    }
    return result
  }

  private static func message(_ image: png_image) -> String {
    let text = withUnsafeBytes(of: image.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    return text.isEmpty ? "unknown PNG error" : text
  }

  private static func dropAlpha(_ pixels: inout [UInt8]) {
    let count = pixels.count / 4
    for pixel in 0..<count {
      for channel in 0..<3 { pixels[3 * pixel + channel] = pixels[4 * pixel + channel] }
    }
    pixels.removeLast(count)
  }
}
