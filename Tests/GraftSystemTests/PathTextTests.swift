import GraftSystem
import Testing

/// Paths as text and back, and text from outside made safe to print.
@Suite struct PathTextTests {
  @Test func anyBytesComeBack() throws {
    var generator = SystemRandomNumberGenerator()
    let pieces: [[UInt8]] = [
      [0xE9], [0xC3, 0xA9], [0x65, 0xCC, 0x81], [0xF0, 0x9F, 0x90, 0x88], [0xED, 0xB3, 0xA9], [0xC0, 0xAF],
      // U+10FF00, U+10FFFF and their bytes cut short: what stands for a byte when it is escaped.
      [0xF4, 0x8F, 0xBC, 0x80], [0xF4, 0x8F, 0xBF, 0xBF], [0xF4, 0x8F, 0xBC], [0xFF], [0x2E], [0x61], [0x0A],
    ]
    for _ in 0..<2000 {
      let name = (0..<Int.random(in: 1...8, using: &generator)).flatMap { _ in
        pieces.randomElement(using: &generator)!
      }
      let text = escaped(name)
      let path = try #require(FilePath(escapedText: "x" + text))
      #expect(path.bytes == [0x78] + name, "\(name)")
      #expect(path.escapedText == "x" + text)
      #expect(path.text == nil || hasEscapes(text) || path.text == "x" + text)
    }
    #expect(FilePath(escapedText: "a\0b") == nil)
    #expect(FilePath("caf\u{e9}").escapedText == "caf\u{e9}")
  }

  @Test func whatSteersATerminalIsEscaped() throws {
    #expect(
      printable("a\u{1B}[2J\u{9B}\n\t\u{202E}\u{2028}b") == #"a\u{1b}[2J\u{9b}\u{a}\u{9}\u{202e}\u{2028}b"#)
    #expect(printable("caf\u{e9} 🐈\u{200D}⬛ ~#%") == "caf\u{e9} 🐈\u{200D}⬛ ~#%")
    let path = try #require(FilePath(escapedText: escaped([0x61, 0xE9, 0x1B])))
    #expect(printable(path) == #"a\xE9\u{1b}"#)
    // Once more changes nothing: errors escape, and whoever prints them does too.
    #expect(printable(printable(path)) == printable(path))
    #expect(printable(String(repeating: "x", count: 500)).count == 401)
  }
}
