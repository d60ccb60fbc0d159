// The only file that imports Foundation, and of it the part that brings no tables of the world's languages with it: they
// would make a program that links Graft three times as large.
#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// JSON by Foundation's coders, with bytes and strings at the seams.
package enum JSON {
  /// How text is laid out; names are always sorted, so that equal values have equal texts.
  package enum Layout: Sendable {
    /// One line.
    case line
    /// One line; a slash is written `\/`, as files of earlier versions have it.
    case escapedLine
    /// A line a value, for people.
    case pretty
  }

  /// A value as text.
  ///
  /// - Throws: `EncodingError` for a value that JSON cannot hold.
  package static func text(
    of value: some Encodable, _ layout: Layout = .line, snakeCase: Bool = false
  ) throws -> String {
    String(decoding: try bytes(of: value, layout, snakeCase: snakeCase), as: UTF8.self)
  }

  /// A value as UTF-8.
  ///
  /// - Throws: `EncodingError` for a value that JSON cannot hold.
  package static func bytes(
    of value: some Encodable, _ layout: Layout = .line, snakeCase: Bool = false
  ) throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting =
      switch layout {
      case .line: [.sortedKeys, .withoutEscapingSlashes]
      case .escapedLine: .sortedKeys
      case .pretty: [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
      }
    if snakeCase { encoder.keyEncodingStrategy = .convertToSnakeCase }
    return [UInt8](try encoder.encode(value))
  }

  /// The value that a text stands for.
  ///
  /// - Throws: `DecodingError`.
  package static func value<Value: Decodable>(
    _ type: Value.Type = Value.self, of text: some StringProtocol, snakeCase: Bool = false
  ) throws -> Value {
    try value(of: Array(text.utf8), snakeCase: snakeCase)
  }

  /// The value that UTF-8 stands for.
  ///
  /// - Throws: `DecodingError`.
  package static func value<Value: Decodable>(
    _ type: Value.Type = Value.self, of bytes: [UInt8], snakeCase: Bool = false
  ) throws -> Value {
    let decoder = JSONDecoder()
    if snakeCase { decoder.keyDecodingStrategy = .convertFromSnakeCase }
    return try decoder.decode(Value.self, from: Data(bytes))
  }
}

/// Points in time as ISO 8601, such as `2026-11-25T12:00:00Z`.
package enum Timestamp {
  /// The current time.
  package static var now: String { Date.now.ISO8601Format() }

  /// A text as ``now`` writes it; nil where it is no time.
  package static func normalized(_ text: String) -> String? {
    (try? Date(text, strategy: .iso8601))?.ISO8601Format()
  }
}

/// Processors that this process may use.
package var processorCount: Int { max(1, ProcessInfo.processInfo.activeProcessorCount) }

/// What the machine is, for bug reports.
package enum Machine {
  /// The operating system's name and version.
  package static var system: String { ProcessInfo.processInfo.operatingSystemVersionString }
  /// Main memory, in bytes.
  package static var memory: Int { Int(clamping: ProcessInfo.processInfo.physicalMemory) }
  /// What of it programs can have now, in bytes; a half where the system does not say.
  package static var freeMemory: Int { FreeMemory.stated ?? memory / 2 }
}
