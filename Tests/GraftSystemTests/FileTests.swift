import Foundation
import GraftSystem
import Testing

/// Listing, reading and writing with the bytes that the file system has.
@Suite struct FileTests {
  private func withFolder(_ body: (FilePath) throws -> Void) throws {
    let folder = FilePath(NSTemporaryDirectory()) / "graft-\(UUID().uuidString)"
    try Folder.make(folder)
    defer { try? FileManager.default.removeItem(atPath: folder.string) }
    try body(folder)
  }

  @Test func namesOfAllBytesAreListedAndRead() throws {
    try withFolder { folder in
      // Every byte but the separator and the end, each in a name of its own.
      let names = (1...255).filter { $0 != 0x2F && $0 != 0x2E }.map { [0x78, UInt8($0)] }
      for name in names {
        let path = folder / (try #require(FilePath(escapedText: escaped(name))?.lastComponent))
        try AtomicWrite.write(to: path) { try $0.writePieces(UnsafeRawBufferPointer(start: nil, count: 0)) }
      }
      let found = try Folder.names(in: folder)
      #expect(Set(found.map(\.bytes)) == Set(names) && found.count == names.count)
      for name in found { #expect(try RegularFile.read(folder / name, atMost: 1).isEmpty) }
    }
  }

  @Test func onlyRegularFilesAreRead() throws {
    try withFolder { folder in
      #expect(mkfifo((folder / "pipe").string, 0o600) == 0)
      #expect(throws: FileFault.notRegular(isFolder: false)) {
        try RegularFile.read(folder / "pipe", atMost: 9)
      }
      #expect(throws: FileFault.notRegular(isFolder: true)) { try RegularFile.read(folder, atMost: 9) }
      #expect(throws: FileFault.missing) { try RegularFile.read(folder / "none", atMost: 9) }
      #expect(throws: FileFault.missing) { try RegularFile.read(folder / "pipe" / "below", atMost: 9) }
      try AtomicWrite.write(to: folder / "ten") { try $0.writeAll([UInt8](repeating: 7, count: 10)) }
      #expect(throws: FileFault.tooLarge(size: 10, limit: 9)) {
        try RegularFile.read(folder / "ten", atMost: 9)
      }
      #expect(try RegularFile.read(folder / "ten", atMost: 10) == [UInt8](repeating: 7, count: 10))
    }
  }

  /// `link/..` is the folder above the link's target, as the kernel has it.
  @Test func dotsAreLeftToTheKernel() throws {
    try withFolder { folder in
      try Folder.make(folder / "there/deep")
      try Folder.make(folder / "here")
      #expect(symlink((folder / "there/deep").string, (folder / "here/link").string) == 0)
      try AtomicWrite.write(to: folder / "here/link/../x") { try $0.writeAll([1]) }
      #expect(try RegularFile.read(folder / "there/x", atMost: 1) == [1])
      #expect((folder / "here/link/../x").resolved == (folder / "there/x").resolved)
      #expect(!(folder / "here/x").exists)
    }
  }

  @Test func writersThatAreKilledLeaveNothing() throws {
    try withFolder { folder in
      struct Stopped: Error {}
      #expect(throws: Stopped.self) {
        try AtomicWrite.write(to: folder / "x") {
          try $0.writeAll([1])
          throw Stopped()
        }
      }
      #expect(try Folder.names(in: folder).isEmpty)
      let leftover = AtomicWrite.temporaryPath(beside: folder / "x")
      try AtomicWrite.write(to: leftover) { try $0.writeAll([1]) }
      AtomicWrite.removeLeftovers(in: folder)
      #expect(try Folder.names(in: folder).isEmpty)
    }
  }

  @Test func foldersAreMadeWithThoseAbove() throws {
    try withFolder { folder in
      try Folder.make(folder / "a/b/c")
      try Folder.make(folder / "a/b")
      #expect((folder / "a/b/c").isFolder)
      try AtomicWrite.write(to: folder / "file") { try $0.writeAll([1]) }
      #expect(throws: Errno.notDirectory) { try Folder.make(folder / "file/below") }
      #expect(throws: Errno.fileExists) { try Folder.make(folder / "file") }
    }
  }
}
