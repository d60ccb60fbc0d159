/// What a file is that Graft does not read, told by its first bytes, and what can be done about it.
public struct FileKind: Sendable, Hashable {
  /// What it is, as in "a GIF image".
  public let name: String
  /// What to do, with `IN` for the file, `OUT` for a PNG beside it and `STEM` for that without its extension.
  private let advice: String
  private let marks: [Mark]

  /// How a kind is told.
  private enum Mark: Hashable {
    /// These bytes, that far from the start; nil stands for any.
    case bytes([UInt8?], at: Int)
    /// A text in angle brackets that holds this early on, in any case.
    case markup(String)

    static func ascii(_ text: String, at offset: Int = 0) -> Mark { .bytes(Array(text.utf8), at: offset) }
  }

  private init(_ name: String, _ marks: [Mark], _ advice: String) {
    self.name = name
    self.marks = marks
    self.advice = advice
  }

  // ImageMagick 6 has no other name for `convert`; 7 still takes it beside `magick`. [0] is the first of many pictures.
  private static let convert = "Convert it to PNG, for example with ImageMagick: convert"

  /// The first that fits counts.
  private static let known: [FileKind] = [
    FileKind(
      "a BMP image", [.bytes(Array("BM".utf8) + [nil, nil, nil, nil, 0, 0, 0, 0], at: 0)], "\(convert) IN OUT"
    ),
    FileKind("a GIF image", [.ascii("GIF8")], "\(convert) IN[0] OUT"),
    FileKind(
      "a TIFF image", [.bytes([0x49, 0x49, 0x2A, 0x00], at: 0), .bytes([0x4D, 0x4D, 0x00, 0x2A], at: 0)],
      "\(convert) IN[0] OUT"),
    FileKind("a Photoshop image (PSD)", [.ascii("8BPS")], "\(convert) IN[0] OUT"),
    FileKind(
      "a JPEG 2000 image", [.ascii("jP  \r\n", at: 4), .bytes([0xFF, 0x4F, 0xFF, 0x51], at: 0)],
      "\(convert) IN OUT"),
    FileKind(
      "a HEIC or HEIF image",
      ["heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"].map { .ascii("ftyp\($0)", at: 4) },
      "Convert it to PNG, for example with libheif: heif-convert IN OUT"),
    FileKind(
      "an AVIF image", [.ascii("ftypavif", at: 4), .ascii("ftypavis", at: 4)],
      "Convert it to PNG, for example with libheif: heif-convert IN OUT"),
    FileKind(
      "a JPEG XL image", [.bytes([0xFF, 0x0A], at: 0), .ascii("JXL \r\n", at: 4)],
      "Convert it to PNG, for example with libjxl: djxl IN OUT"),
    FileKind(
      "a PDF document", [.ascii("%PDF-")],
      "Turn its first page into PNG, for example with Poppler: pdftoppm -png -singlefile IN STEM"),
    FileKind(
      "an HTML page", [.markup("<!doctype html"), .markup("<html")],
      "That is what a download gives that went wrong: read it in a browser, and download the picture again."),
    FileKind(
      "an SVG drawing", [.markup("<svg")],
      "Turn it into PNG, for example with librsvg: rsvg-convert -o OUT IN"),
    FileKind(
      "a zip archive", [.bytes([0x50, 0x4B, 0x03, 0x04], at: 0)], "Unpack it, for example with: unzip IN"),
    FileKind(
      "a Git LFS pointer, not the file that it stands for",
      [.ascii("version https://git-lfs.github.com/spec/")],
      "Fetch the file in its repository with: git lfs pull"),
  ]

  private static let text = FileKind(
    "a text", [], "Put a JPEG, PNG or WebP picture in its place, or remove it.")
  private static let unknown = FileKind(
    "a file of an unknown kind", [], "Put a JPEG, PNG or WebP picture in its place, or remove it.")

  /// The kind of a file with these bytes.
  init(of bytes: [UInt8]) {
    let isText = Self.isText(bytes.prefix(512))
    let markup = isText ? Self.markup(bytes.prefix(4096)) : nil
    let kind = Self.known.first { kind in
      kind.marks.contains { mark in
        switch mark {
        case .bytes(let mark, let offset):
          bytes.dropFirst(offset).starts(with: mark) { $1 == nil || $0 == $1 }
        case .markup(let mark): markup?.contains(mark) ?? false
        }
      }
    }
    self = kind ?? (isText ? Self.text : Self.unknown)
  }

  /// Whether there are no control characters but those of layout.
  private static func isText(_ start: ArraySlice<UInt8>) -> Bool {
    start.allSatisfy { $0 >= 0x20 && $0 != 0x7F || (0x09...0x0D).contains($0) }
      && String(decoding: start, as: UTF8.self).unicodeScalars.dropLast().allSatisfy { $0 != "\u{FFFD}" }
  }

  /// The start of a text that begins with an angle bracket, in small letters.
  private static func markup(_ start: ArraySlice<UInt8>) -> String? {
    let text = String(decoding: start, as: UTF8.self).drop { $0.isWhitespace || $0 == "\u{FEFF}" }
    return text.first == "<" ? text.lowercased() : nil
  }

  /// What to do with such a file: a sentence, or one that ends with a command.
  func remedy(for file: String) -> String {
    let name = file.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
    let dot = name.lastIndex(of: ".").flatMap { $0 > name.startIndex ? $0 : nil } ?? name.endIndex
    let stem = String(file[..<dot])
    return advice.split(separator: " ", omittingEmptySubsequences: false).map { word in
      switch word {
      case "IN": Self.quoted(file)
      case "IN[0]": Self.quoted(file + "[0]")
      case "OUT": Self.quoted(stem + ".png")
      case "STEM": Self.quoted(stem)
      default: String(word)
      }
    }.joined(separator: " ")
  }

  /// As a shell reads it whole, brackets too.
  private static func quoted(_ word: String) -> String {
    let plain = word.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "+-_./,@%".contains($0)) }
    return plain && !word.isEmpty
      ? word
      : "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
  }
}
