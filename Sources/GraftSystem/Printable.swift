/// Text from outside, safe to print: what would steer a terminal or reorder a line is escaped.
///
/// Names in folders, files and drivers are anybody's: they may hold terminal escapes, line breaks or marks that turn
/// the direction of writing. Text without them stays as it is, and so does what was escaped already.
///
/// - Parameters:
///   - text: The text.
///   - limit: Most characters that are kept.
package func printable(_ text: String, limit: Int = 400) -> String {
  var result = ""
  for (index, scalar) in text.unicodeScalars.enumerated() {
    if index == limit { return result + "…" }
    result += printable(scalar)
  }
  return result
}

/// A path, safe to print: bytes that are no UTF-8 are written as `\xE9`, and the rest as any text from outside.
package func printable(_ path: FilePath) -> String { printable(path.escapedText, limit: .max) }

/// A name in a folder, safe to print.
package func printable(_ name: FilePath.Component) -> String { printable(FilePath(root: nil, [name])) }

private func printable(_ scalar: Unicode.Scalar) -> String {
  if let byte = byte(escapedAs: scalar) { return "\\x" + String(byte, radix: 16, uppercase: true) }
  return switch scalar.properties.generalCategory {
  case .format where scalar == "\u{200C}" || scalar == "\u{200D}":
    // Joiners: parts of emoji and of several scripts' words.
    String(scalar)
  case .control, .format, .lineSeparator, .paragraphSeparator:
    "\\u{\(String(scalar.value, radix: 16))}"
  default: String(scalar)
  }
}
