import GraftSystem

/// Reads image files that may be anything: the format is told by the first bytes, never by the name.
struct ImageDecoder: Sendable {
  /// Most pixels an image may have.
  let maximumPixels: Int
  /// Where the pixels of a JPEG go.
  var buffers = SpareBuffers()
  /// Longest side an image may have: JPEG's own limit, and a bound on what resampling one axis can cost.
  static let maximumSide = 65_535
  /// Largest file that is read into memory, in bytes.
  static let maximumFileBytes = 256 << 20
  /// Open files that pictures leave to the device's driver: PoCL ends the process when it cannot open a kernel, which it
  /// does while pictures are decoded.
  private static let filesOfTheDriver = 3

  /// Makes of a picture's size the number that both sides may be divided by while it is decoded: 1, 2, 4 or 8.
  typealias Divisor = (_ width: Int, _ height: Int) -> Int

  /// - Parameter divisor: asked where the format can be decoded smaller, which is JPEG.
  func decode(file: FilePath, dividedBy divisor: Divisor = { _, _ in 1 }) throws(DataError) -> RGBImage {
    try decode(try Self.read(file), file: file, dividedBy: divisor)
  }

  func decode(
    _ bytes: [UInt8], file: FilePath, dividedBy divisor: Divisor = { _, _ in 1 }
  ) throws(DataError) -> RGBImage {
    if bytes.starts(with: [0xFF, 0xD8, 0xFF]) {
      return try JPEGDecoder(file: file, decoder: self).decode(bytes, dividedBy: divisor)
    }
    if bytes.starts(with: PNGDecoder.signature) {
      return try PNGDecoder(file: file, decoder: self).decode(bytes)
    }
    if WebPDecoder.recognises(bytes) {
      return try WebPDecoder(file: file, decoder: self).decode(bytes)
    }
    throw bytes.isEmpty
      ? .corruptImage(file, reason: "the file is empty") : .notAnImage(file, FileKind(of: bytes))
  }

  /// Checks the size that a header claims, before anything is allocated for it.
  func check(width: Int, height: Int, file: FilePath) throws(DataError) {
    guard width > 0, height > 0 else {
      throw .corruptImage(file, reason: "its header says \(width) by \(height) pixels")
    }
    let size = "\(width) by \(height) pixels"
    guard width <= Self.maximumSide, height <= Self.maximumSide else {
      throw .imageTooLarge(file, size: size, limit: .side(Self.maximumSide))
    }
    guard width * height <= maximumPixels else {
      throw .imageTooLarge(file, size: size, limit: .pixels(maximumPixels))
    }
  }

  /// What is wrong, and what to do.
  private static func words(_ fault: FileFault) -> String {
    switch fault {
    case .missing: "there is no such file; check the spelling"
    case .notRegular(isFolder: true): "it is a folder; name the pictures in it"
    case .system(.permissionDenied): "\(fault); allow it with chmod"
    default: "\(fault)"
    }
  }

  private static func read(_ file: FilePath) throws(DataError) -> [UInt8] {
    do {
      return try RegularFile.read(file, atMost: maximumFileBytes, sparing: filesOfTheDriver)
    } catch .tooLarge(let size, let limit) {
      throw .imageTooLarge(file, size: "\(size) bytes", limit: .fileBytes(limit))
    } catch .system(let errno)
      where [.tooManyOpenFiles, .tooManyOpenFilesInSystem, .noMemory].contains(errno)
    {
      throw .outOfResources(file, reason: "\(errno)")
    } catch {
      throw .unreadableFile(file, reason: Self.words(error))
    }
  }
}
