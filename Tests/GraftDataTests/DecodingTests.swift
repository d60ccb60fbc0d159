import Foundation
import GraftSystem
import Testing

@testable import GraftData

@Suite struct DecodingTests {
  let decoder = ImageDecoder(maximumPixels: 50_000_000)

  @Test("pixels equal Pillow's", arguments: Fixtures.cases.decode)
  func equalsPillow(_ golden: Fixtures.Cases.Decode) throws {
    let image = try decoder.decode(file: Fixtures.path(golden.file))
    #expect(image.width == golden.width)
    #expect(image.height == golden.height)
    let expected = try Fixtures.bytes(golden.file + ".rgb")
    // Sixteen bits with alpha are rounded where Pillow cuts.
    let tolerance = ["rgba16.png", "grey_alpha16.png"].contains(golden.file) ? 1 : 0
    let worst = zip(image.pixels, expected).map { abs(Int($0) - Int($1)) }.max()
    #expect(image.pixels.count == expected.count)
    #expect(try #require(worst) <= tolerance)
  }

  @Test("a file cut anywhere is an error or a picture, never a crash", arguments: Fixtures.cases.decode)
  func truncation(_ golden: Fixtures.Cases.Decode) throws {
    let bytes = try Fixtures.bytes(golden.file)
    for length in stride(from: 0, to: bytes.count, by: 97) {
      let file = FilePath("cut-at-\(length)")
      do {
        _ = try decoder.decode(Array(bytes.prefix(length)), file: file)
        Issue.record("\(golden.file) cut at \(length) of \(bytes.count) was taken for a whole picture")
      } catch {
        #expect(error.description.hasPrefix(file.string))
      }
    }
  }

  @Test("a WebP file cut anywhere is refused", arguments: Fixtures.webp)
  func truncatedWebP(_ golden: Fixtures.Cases.Decode) throws {
    let bytes = try Fixtures.bytes(golden.file)
    for length in 12..<bytes.count {
      do {
        _ = try decoder.decode(Array(bytes.prefix(length)), file: "cut")
        Issue.record("\(golden.file) cut at \(length) of \(bytes.count) was taken for a whole picture")
      } catch {
        guard case .corruptImage("cut", _) = error else {
          Issue.record("\(error)")
          return
        }
      }
    }
  }

  @Test("a WebP frame that is damaged or leaves its canvas is refused")
  func damagedWebP() throws {
    let animation = try Fixtures.bytes("animated.webp")
    let frame = try #require(
      animation.indices.dropLast(4).first { animation[$0..<$0 + 4].elementsEqual("ANMF".utf8) })
    for (file, offset, what): (String, Int, FilePath) in [
      ("animated.webp", frame + 8, "left edge"), ("animated.webp", frame + 11, "top edge"),
      ("animated.webp", frame + 28, "chunk"), ("lossless.webp", 40, "code"),
    ] {
      var wrong = try Fixtures.bytes(file)
      wrong[offset] ^= 0xFF
      do {
        _ = try decoder.decode(wrong, file: what)
        Issue.record("a wrong \(what) was believed")
      } catch {
        guard case .corruptImage(what, _) = error else {
          Issue.record("\(error)")
          return
        }
      }
    }
  }

  @Test("a file with one wrong byte is an error or a picture", arguments: Fixtures.cases.decode)
  func corruption(_ golden: Fixtures.Cases.Decode) throws {
    let bytes = try Fixtures.bytes(golden.file)
    for index in stride(from: 0, to: bytes.count, by: 7) {
      for flip: UInt8 in [0xFF, 0x01, 0x80] {
        var wrong = bytes
        wrong[index] ^= flip
        if let image = try? ImageDecoder(maximumPixels: 1_000_000).decode(wrong, file: "wrong") {
          #expect(image.pixels.count == image.width * image.height * 3)
        }
      }
    }
  }

  @Test(
    "random bytes after a true signature",
    arguments: [
      PNGDecoder.signature, [0xFF, 0xD8, 0xFF], Array("RIFF\0\u{1}\0\0WEBP".utf8),
      Array("RIFF\0\u{1}\0\0WEBPVP8L".utf8),
    ])
  func noise(_ signature: [UInt8]) {
    var random = SampleRandom(seed: 1, epoch: 0, sample: 0)
    for length in 0..<300 {
      let bytes = signature + (0..<length).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      #expect(throws: DataError.self) { try decoder.decode(bytes, file: "noise") }
    }
  }

  @Test("a header that claims a huge picture is refused before anything is allocated")
  func lyingHeader() throws {
    var png = try Fixtures.bytes("rgb.png")
    png.replaceSubrange(16..<24, with: [0x7F, 0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF])
    #expect(throws: DataError.self) { try decoder.decode(png, file: "lie.png") }
    do {
      _ = try decoder.decode(png, file: "lie.png")
    } catch {
      guard case .imageTooLarge("lie.png", _, _) = error else {
        Issue.record("\(error)")
        return
      }
    }

    var jpeg = try Fixtures.bytes("rgb.jpg")
    let frame = try #require((0..<jpeg.count - 9).first { jpeg[$0] == 0xFF && jpeg[$0 + 1] == 0xC0 })
    jpeg.replaceSubrange(frame + 5..<frame + 9, with: [0xFF, 0xDC, 0xFF, 0xDC])
    do {
      _ = try decoder.decode(jpeg, file: "lie.jpg")
      Issue.record("a lie was believed")
    } catch {
      #expect(
        error
          == .imageTooLarge("lie.jpg", size: "65500 by 65500 pixels", limit: .pixels(50_000_000)))
    }

    // Fourteen bits a side in a lossy frame's header, twenty-four of a canvas.
    for (name, range, header): (String, Range<Int>, [UInt8]) in [
      ("lossy.webp", 26..<30, [0x10, 0x27, 0x88, 0x13]),
      ("animated.webp", 24..<30, [0x0F, 0x27, 0x00, 0x87, 0x13, 0x00]),
    ] {
      var webp = try Fixtures.bytes(name)
      webp.replaceSubrange(range, with: header)
      #expect(
        throws: DataError.imageTooLarge(
          FilePath(name), size: "10000 by 5000 pixels", limit: .pixels(49_999_999))
      ) { try ImageDecoder(maximumPixels: 49_999_999).decode(webp, file: FilePath(name)) }
    }
  }

  @Test("the limit is exact")
  func limit() throws {
    let bytes = try Fixtures.bytes("rgb.png")
    #expect(throws: Never.self) { try ImageDecoder(maximumPixels: 19 * 14).decode(bytes, file: "a") }
    #expect(throws: DataError.self) { try ImageDecoder(maximumPixels: 19 * 14 - 1).decode(bytes, file: "a") }
  }

  @Test("only the limit on pixels can be raised, and only it says how")
  func raisingTheLimit() throws {
    func refusal(width: Int, height: Int) throws -> String {
      do throws(DataError) {
        try ImageDecoder(maximumPixels: 1000).check(width: width, height: height, file: "a.png")
        return ""
      } catch {
        return error.description
      }
    }
    let pixels = try refusal(width: 40, height: 30)
    #expect(pixels.contains("the limit is 1000 pixels") && pixels.contains("Scale it down"))
    #expect(pixels.contains("--max-pixels N") && pixels.contains("LoadingOptions.maximumPixels"))
    let side = try refusal(width: 65_536, height: 1)
    #expect(side.contains("65535") && side.contains("Scale it down") && !side.contains("max"))
    let bytes = DataError.imageTooLarge("a.png", size: "2 bytes", limit: .fileBytes(1)).description
    #expect(bytes.contains("Scale the picture down") && !bytes.contains("max"))

    let picture = Fixtures.path("rgb.png")
    let transform = ImageTransform.squash(imageSize: 8)
    #expect(throws: Never.self) { try loadImage(picture, transform: transform, imageSize: 8) }
    #expect(throws: DataError.imageTooLarge(picture, size: "19 by 14 pixels", limit: .pixels(265))) {
      try loadImage(picture, transform: transform, imageSize: 8, maximumPixels: 265)
    }
    #expect(LoadingOptions().maximumPixels == 178_956_970)
  }

  @Test("the first bytes decide, not the name")
  func wrongExtension() throws {
    let folder = try TemporaryFolder()
    try folder.write(Fixtures.bytes("rgb.jpg"), to: "really-jpeg.png")
    let image = try decoder.decode(file: folder.path / "really-jpeg.png")
    #expect(try image.pixels == Fixtures.bytes("rgb.jpg.rgb"))
    try folder.write(Array("GIF89a".utf8), to: "gif.jpg")
    #expect(throws: DataError.notAnImage(folder.path / "gif.jpg", FileKind(of: Array("GIF89a".utf8)))) {
      try decoder.decode(file: folder.path / "gif.jpg")
    }
    try folder.write(Fixtures.bytes("lossy.webp"), to: "really-webp.jpg")
    #expect(
      try decoder.decode(file: folder.path / "really-webp.jpg").pixels == Fixtures.bytes("lossy.webp.rgb"))
    try folder.write([], to: "empty.png")
    #expect(throws: DataError.corruptImage(folder.path / "empty.png", reason: "the file is empty")) {
      try decoder.decode(file: folder.path / "empty.png")
    }
    #expect(
      throws: DataError.unreadableFile(
        folder.path / "none.png", reason: "there is no such file; check the spelling")
    ) {
      try decoder.decode(file: folder.path / "none.png")
    }
    try folder.makeFolder("folder.png")
    #expect(
      throws: DataError.unreadableFile(
        folder.path / "folder.png", reason: "it is a folder; name the pictures in it")
    ) {
      try decoder.decode(file: folder.path / "folder.png")
    }
  }
}
