import GraftSystem

/// Text for people: what is written in the source stays as it is, and what is put in is made safe to print.
///
/// Names of classes and files, and words of drivers, are anybody's: no escape code in them reaches a terminal.
struct Message: ExpressibleByStringInterpolation, Sendable {
  private(set) var text: String

  init(stringLiteral text: String) { self.text = text }

  init(stringInterpolation: Interpolation) { text = stringInterpolation.text }

  private init(safe text: String) { self.text = text }

  /// Lines that are put together elsewhere, such as a table: their ends are kept, and all else is made safe to print.
  init(lines text: String) {
    self.text =
      text.split(separator: "\n", omittingEmptySubsequences: false).map { printable(String($0), limit: .max) }
      .joined(separator: "\n")
  }

  static func + (first: Message, second: Message) -> Message { Message(safe: first.text + second.text) }

  static func += (first: inout Message, second: Message) { first = first + second }

  struct Interpolation: StringInterpolationProtocol {
    fileprivate var text = ""

    init(literalCapacity: Int, interpolationCount: Int) {}

    mutating func appendLiteral(_ literal: String) { text += literal }

    mutating func appendInterpolation(_ value: Message) { text += value.text }

    mutating func appendInterpolation(_ path: FilePath) { text += printable(path) }

    mutating func appendInterpolation(_ value: some CustomStringConvertible) {
      text += printable(value.description, limit: .max)
    }

    /// Errors may have several lines, such as a compiler's.
    mutating func appendInterpolation(_ error: any Error) {
      text += Message(lines: "\(error)").text
    }
  }
}
