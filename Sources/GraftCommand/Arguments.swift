public import ArgumentParser
import GraftSystem
public import SystemPackage

/// The words of the command line, byte for byte: each byte that is no UTF-8 is escaped, and paths turn it back.
var commandLineWords: [String] {
  CommandLine.unsafeArgv.withMemoryRebound(
    to: UnsafeMutablePointer<CChar>?.self, capacity: Int(CommandLine.argc)
  ) { words in
    (0..<Int(CommandLine.argc)).map { index in
      words[index].map { escaped(Array(UnsafeRawBufferPointer(start: $0, count: strlen($0)))) } ?? ""
    }
  }
}

extension FilePath: @retroactive ExpressibleByArgument {
  /// The path of a word in ``commandLineWords``.
  public init?(argument: String) {
    guard !argument.isEmpty else { return nil }
    self.init(escapedText: argument)
  }
}

/// A path and the word that it was given by, which answers repeat as it was: a path has no doubled slashes.
struct GivenPath: ExpressibleByArgument {
  let path: FilePath
  let word: String

  init?(argument: String) {
    guard let path = FilePath(argument: argument) else { return nil }
    self.path = path
    word = argument
  }
}
