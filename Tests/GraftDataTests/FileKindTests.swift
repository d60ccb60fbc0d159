import Testing

@testable import GraftData

@Suite struct FileKindTests {
  /// The start of a file, a scalar a byte; its name; and words of the advice.
  private static let files: [(String, String, String)] = [
    ("BM:\0\0\0\0\0\0\0\u{36}\0\0\0", "a BMP image", "convert d/a.jpg d/a.png"),
    ("GIF87a", "a GIF image", "convert 'd/a.jpg[0]' d/a.png"),
    ("GIF89a", "a GIF image", "convert 'd/a.jpg[0]' d/a.png"),
    ("II*\0", "a TIFF image", "convert 'd/a.jpg[0]' d/a.png"),
    ("MM\0*", "a TIFF image", "convert 'd/a.jpg[0]' d/a.png"),
    ("8BPS\0\u{1}", "a Photoshop image (PSD)", "convert 'd/a.jpg[0]' d/a.png"),
    ("\0\0\0\u{C}jP  \r\n\u{87}\n", "a JPEG 2000 image", "convert d/a.jpg d/a.png"),
    ("\u{FF}\u{4F}\u{FF}\u{51}", "a JPEG 2000 image", "convert d/a.jpg d/a.png"),
    ("\0\0\0\u{18}ftypheic\0\0\0\0mif1", "a HEIC or HEIF image", "heif-convert d/a.jpg d/a.png"),
    ("\0\0\0\u{18}ftypmif1\0\0\0\0heic", "a HEIC or HEIF image", "heif-convert d/a.jpg d/a.png"),
    ("\0\0\0\u{20}ftypavif\0\0\0\0mif1", "an AVIF image", "heif-convert d/a.jpg d/a.png"),
    ("\u{FF}\n\u{FA}", "a JPEG XL image", "djxl d/a.jpg d/a.png"),
    ("\0\0\0\u{C}JXL \r\n\u{87}\n", "a JPEG XL image", "djxl d/a.jpg d/a.png"),
    ("%PDF-1.7\n", "a PDF document", "pdftoppm -png -singlefile d/a.jpg d/a"),
    ("<!DOCTYPE html><svg>", "an HTML page", "download the picture again"),
    ("\u{EF}\u{BB}\u{BF}\r\n <HTML>", "an HTML page", "download the picture again"),
    (
      "<?xml version=\"1.0\"?>\n<!-- \u{C3}\u{A9} -->\n<svg>", "an SVG drawing",
      "rsvg-convert -o d/a.png d/a.jpg"
    ),
    ("PK\u{3}\u{4}\u{14}", "a zip archive", "unzip d/a.jpg"),
    (
      "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n",
      "a Git LFS pointer, not the file that it stands for", "git lfs pull"
    ),
    ("BMW, a maker of cars; GIF, a format.", "a text", "JPEG, PNG or WebP"),
    (String(repeating: "\u{C3}\u{A9}", count: 400), "a text", "remove it"),
    // Its first 512 bytes end within a letter.
    ("a" + String(repeating: "\u{C3}\u{A9}", count: 400), "a text", "remove it"),
    (String(repeating: "\u{C3}", count: 400), "a file of an unknown kind", "JPEG, PNG or WebP"),
    ("RIFF    WAVE\0", "a file of an unknown kind", "remove it"),
    ("\u{7}", "a file of an unknown kind", "remove it"),
  ]

  @Test("a file is named by its first bytes, with what to do", arguments: files)
  func kinds(_ start: String, _ name: String, _ advice: String) throws {
    let bytes = start.unicodeScalars.map { UInt8($0.value) }
    #expect(FileKind(of: bytes).name == name)
    do throws(DataError) {
      _ = try ImageDecoder(maximumPixels: 1).decode(bytes, file: "d/a.jpg")
      Issue.record("it was taken for a picture")
    } catch {
      #expect(error.description.hasPrefix("d/a.jpg is \(name), which Graft does not read. "))
      #expect(error.description.contains(advice))
    }
  }

  @Test(
    "commands hold for every name of a file",
    arguments: [
      ("/p q/it's.gif", #"convert '/p q/it'\''s.gif[0]' '/p q/it'\''s.png'"#),
      ("../d.e/name", "convert '../d.e/name[0]' ../d.e/name.png"),
      (".hidden", "convert '.hidden[0]' .hidden.png"),
      ("a.b.png", "convert 'a.b.png[0]' a.b.png"),
    ])
  func quoting(_ file: String, _ command: String) {
    #expect(FileKind(of: Array("GIF89a".utf8)).remedy(for: file).hasSuffix(": \(command)"))
  }
}
