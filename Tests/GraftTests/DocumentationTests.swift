import Foundation
import GraftSystem
import Testing

@testable import Graft

/// Pages quote the sources as they are.
@Suite struct DocumentationTests {
  private static let pages = Fixtures.checkout / "Sources/Graft/Graft.docc"

  private static func text(_ path: FilePath) throws -> String {
    String(decoding: try RegularFile.read(path, atMost: 1 << 22), as: UTF8.self)
  }

  /// What follows `<!-- from PATH -->` in a fence stands in that file.
  @Test func quotesStandInTheSources() throws {
    var quotes = 0
    for page in try Folder.names(in: Self.pages) where page.extension == "md" {
      let parts = try Self.text(Self.pages / page).components(separatedBy: "<!-- from ")
      for part in parts.dropFirst() {
        let lines = part.split(separator: "\n", omittingEmptySubsequences: false)
        let path = String(lines[0].dropLast(" -->".count))
        #expect(lines[1].hasPrefix("```"))
        let quote = lines.dropFirst(2).prefix { $0 != "```" }.joined(separator: "\n")
        let source = try Self.text(Fixtures.checkout / path)
        #expect(!quote.isEmpty && ("\n" + source + "\n").contains("\n" + quote + "\n"), "\(page): \(path)")
        quotes += 1
      }
    }
    #expect(quotes >= 6)
  }
}
