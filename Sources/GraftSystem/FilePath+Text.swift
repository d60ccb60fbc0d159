extension FilePath {
  /// The path as text; nil where its bytes are no UTF-8.
  package var text: String? { String(validating: self) }

  /// A path below this one.
  package static func / (folder: FilePath, name: String) -> FilePath { folder.appending(name) }

  /// A path below this one.
  package static func / (folder: FilePath, name: FilePath.Component) -> FilePath { folder.appending(name) }

  /// The folder that the path's last name lies in, in the kernel's reading: `.` for a bare name.
  package var folder: FilePath {
    let parent = removingLastComponent()
    return parent.isEmpty ? "." : parent
  }

  /// The path from the root, whatever the current folder is later; nothing in it is resolved.
  package var absolute: FilePath {
    guard isRelative, let here = FilePath.currentFolder else { return self }
    return here.pushing(self)
  }

  private static var currentFolder: FilePath? {
    guard let start = getcwd(nil, 0) else { return nil }
    defer { free(start) }
    return FilePath(platformString: start)
  }

  /// The path without links and dots; nil where nothing is there.
  package var resolved: FilePath? {
    withPlatformString { start in
      guard let resolved = realpath(start, nil) else { return nil }
      defer { free(resolved) }
      return FilePath(platformString: resolved)
    }
  }
}

extension FilePath {
  /// The path as text that can be turned back to the same bytes: text itself where it is UTF-8, and U+10FF00 plus the
  /// byte for each byte that is none, as in command-line arguments and JSON, which hold text only.
  package var escapedText: String { escaped(bytes) }

  /// The path that ``escapedText`` stands for; nil where it holds a zero byte, which no path does.
  package init?(escapedText text: String) {
    let bytes = text.unicodeScalars.flatMap { scalar -> [UInt8] in
      if let byte = byte(escapedAs: scalar) { return [byte] }
      return Array(String(scalar).utf8)
    }
    guard !bytes.contains(0) else { return nil }
    self.init(platformString: (bytes + [0]).map { CInterop.PlatformChar(bitPattern: $0) })
  }

  /// The bytes of the path.
  package var bytes: [UInt8] {
    withPlatformString { Array(UnsafeRawBufferPointer(start: $0, count: strlen($0))) }
  }
}

extension FilePath.Component {
  /// The name as text; nil where its bytes are no UTF-8.
  package var text: String? { String(validating: self) }

  /// Whether the name begins with a dot.
  package var isHidden: Bool { withPlatformString { $0.pointee == CInterop.PlatformChar(UInt8(ascii: ".")) } }

  /// The bytes of the name.
  package var bytes: [UInt8] {
    withPlatformString { Array(UnsafeRawBufferPointer(start: $0, count: strlen($0))) }
  }
}

/// Bytes as text in which each byte that is no UTF-8 is U+10FF00 plus the byte.
///
/// Characters of that range are escaped too, so that what comes back is always what went in.
package func escaped(_ bytes: [UInt8]) -> String {
  var text = String.UnicodeScalarView()
  var rest = bytes[...]
  while let first = rest.first {
    let length = (1...4).first { String(validating: rest.prefix($0), as: UTF8.self)?.isEmpty == false }
    let scalar = length.flatMap { String(validating: rest.prefix($0), as: UTF8.self)?.unicodeScalars.first }
    if let length, let scalar, byte(escapedAs: scalar) == nil {
      text.append(scalar)
      rest = rest.dropFirst(length)
    } else {
      text.append(Unicode.Scalar(firstEscape + UInt32(first)) ?? "\u{FFFD}")
      rest = rest.dropFirst()
    }
  }
  return String(text)
}

/// Whether a text has bytes in it that are no UTF-8, and so were escaped.
package func hasEscapes(_ text: String) -> Bool {
  text.unicodeScalars.contains { byte(escapedAs: $0) != nil }
}

/// Last of the planes for private use: in no file's name but by intent.
private let firstEscape: UInt32 = 0x10_FF00

/// The byte that an escape stands for; nil for every other character.
func byte(escapedAs scalar: Unicode.Scalar) -> UInt8? {
  scalar.value >= firstEscape ? UInt8(scalar.value - firstEscape) : nil
}
