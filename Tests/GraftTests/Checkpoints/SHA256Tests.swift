import Testing

@testable import Graft

@Suite("Checkpoint SHA-256")
struct CheckpointSHA256Tests {
  private func hash(_ bytes: [UInt8]) -> String {
    hexadecimal(bytes.withUnsafeBytes { SHA256.hash($0) })
  }

  @Test(
    "NIST's vectors",
    arguments: [
      ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
      ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
      (
        "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
      ),
      (
        "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrs"
          + "mnopqrstnopqrstu",
        "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"
      ),
    ])
  func vectors(message: String, expected: String) {
    #expect(hash(Array(message.utf8)) == expected)
  }

  @Test("NIST's million letters")
  func million() {
    #expect(
      hash([UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000))
        == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
  }

  @Test("Any split of a message has the hash of the whole", arguments: [1, 3, 55, 56, 63, 64, 65, 127, 128])
  func pieces(size: Int) {
    let message = (0..<301).map { UInt8(truncatingIfNeeded: $0 * 7) }
    var hasher = SHA256()
    for start in stride(from: 0, to: message.count, by: size) {
      hasher.update(Array(message[start..<min(start + size, message.count)]))
    }
    #expect(hexadecimal(hasher.finalize()) == hash(message))
  }
}
