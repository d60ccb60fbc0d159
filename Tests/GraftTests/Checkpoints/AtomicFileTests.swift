import Foundation
import GraftSystem
import Testing

@testable import Graft

@Suite("Checkpoint atomic files")
struct CheckpointAtomicFileTests {
  private func read(_ path: FilePath) throws -> String { try text(path) }

  @Test("A file is written, replaced, and nothing lies beside it")
  func write() throws {
    let folder = try TemporaryFolder()
    try AtomicFile.write("one", to: folder.file("f"))
    try AtomicFile.write("two", to: folder.file("f"))
    try AtomicFile.write([], to: folder.file("empty"))
    try AtomicFile.write("long", to: folder.file(String(repeating: "n", count: 255)))
    #expect(try read(folder.file("f")) == "two")
    #expect(try folder.contents == ["empty", "f", String(repeating: "n", count: 255)])
  }

  @Test("A failure in the middle leaves the old file and nothing else")
  func failure() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("f")
    try AtomicFile.write("old", to: path)
    let error = checkpointError {
      try AtomicFile.write(to: path) { (output) throws(CheckpointError) in
        try [UInt8(1), 2, 3].withUnsafeBufferPointer { (buffer) throws(CheckpointError) in
          try output.append(UnsafeRawBufferPointer(buffer))
        }
        throw .cannotWrite(path: path, reason: "injected")
      }
    }
    #expect(error == .cannotWrite(path: path, reason: "injected"))
    #expect(try read(path) == "old")
    #expect(try folder.contents == ["f"])
  }

  @Test("What cannot be written is said in the system's words, and leaves nothing")
  func unwritable() throws {
    let folder = try TemporaryFolder()
    try AtomicFile.write("x", to: folder.file("f"))
    let cases = [
      (folder.file("f/below"), ENOTDIR), (folder.file("absent/f"), ENOENT), (folder.path, EISDIR),
    ]
    for (path, code) in cases {
      #expect(
        checkpointError { try AtomicFile.write("y", to: path) }
          == .cannotWrite(path: path, reason: String(cString: strerror(code))))
      #expect(throws: CheckpointError.self) { try Safetensors.write([("a", [1], [0])], to: path) }
    }
    #expect(try folder.contents == ["f"])
    #expect(try read(folder.file("f")) == "x")
  }

  @Test("A device or a pipe is not replaced by a file")
  func special() throws {
    let folder = try TemporaryFolder()
    let pipe = folder.file("pipe")
    #expect(mkfifo(pipe.string, 0o600) == 0)
    #expect(
      checkpointError { try AtomicFile.write("y", to: pipe) }
        == .cannotWrite(path: pipe, reason: "it is not a regular file"))
    #expect(try pipe.status().type == .fifo)
    #expect(try folder.contents == ["pipe"])
  }

  @Test("A full disk is said", .enabled(if: FilePath("/dev/full").exists))
  func full() throws {
    let file = try FileDescriptor.open("/dev/full", .writeOnly)
    defer { try? file.close() }
    let error = checkpointError {
      try [UInt8(1)].withUnsafeBytes {
        try AtomicFile.Output(file: file, path: "f").append($0)
      }
    }
    #expect(error == .cannotWrite(path: "f", reason: String(cString: strerror(ENOSPC))))
  }

  @Test("Folders are created with those above them; a file in the way is said")
  func folders() throws {
    let folder = try TemporaryFolder()
    try AtomicFile.createFolder(folder.file("a/b/c/"))
    try AtomicFile.createFolder(folder.file("a/b"))
    try AtomicFile.write("x", to: folder.file("a/b/c/f"))
    for path in [folder.file("a/b/c/f"), folder.file("a/b/c/f/d/e")] {
      guard case .cannotWrite = checkpointError({ try AtomicFile.createFolder(path) }) else {
        Issue.record("\(path) was created")
        continue
      }
    }
  }

  @Test("Whether results can be written is known before the work")
  func requireWritable() throws {
    let folder = try TemporaryFolder()
    try AtomicFile.requireWritable(folder: folder.file("out"), neededBytes: 1)
    #expect(try folder.contents == ["out"])
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.file("out").string).isEmpty)
    let error = checkpointError {
      try AtomicFile.requireWritable(folder: folder.file("out"), neededBytes: .max)
    }
    #expect(error?.description.contains("bytes are needed") == true)
    try AtomicFile.write("x", to: folder.file("f"))
    #expect(throws: CheckpointError.self) { try AtomicFile.requireWritable(folder: folder.file("f/out")) }
  }
}
