/// Writing of files that are whole or not there.
///
/// Bytes go to a hidden sibling, are flushed to the disk, and the sibling is renamed over the destination. A crash or a
/// full disk leaves the old file as it was; readers that have the old file open keep it.
package enum AtomicWrite {
  /// Writes a file in pieces, without holding all of it in memory.
  ///
  /// - Throws: `Errno`, `FileFault` for a device or a pipe, which a rename would replace, or what `body` throws; nothing is
  ///   left behind then.
  package static func write(to path: FilePath, _ body: (FileDescriptor) throws -> Void) throws {
    if let there = try? Stat(path, followTargetSymlink: false).type,
      ![.regular, .symbolicLink, .directory].contains(there)
    {
      throw FileFault.notRegular(isFolder: false)
    }
    let temporary = temporaryPath(beside: path)
    let file = try FileDescriptor.open(
      temporary, .writeOnly, options: [.create, .exclusiveCreate, .closeOnExec],
      permissions: FilePermissions(rawValue: 0o666))
    do {
      do {
        try body(file)
        try file.flush()
      } catch {
        try? file.close()
        throw error
      }
      // Network file systems report a full disk here.
      try file.close()
      try temporary.rename(to: path)
    } catch {
      try? temporary.remove()
      throw error
    }
    flushFolder(of: path)
  }

  /// Makes the new name itself survive a crash; best effort, the file is already whole.
  private static func flushFolder(of path: FilePath) {
    guard let folder = try? FileDescriptor.open(path.folder, .readOnly, options: .closeOnExec) else { return }
    try? folder.flush()
    try? folder.close()
  }

  /// Removes what writers that were killed have left in a folder; nobody may be writing there.
  package static func removeLeftovers(in folder: FilePath) {
    for name in (try? Folder.names(in: folder)) ?? [] {
      guard let text = name.text, text.hasPrefix(prefix), text.hasSuffix(suffix) else { continue }
      try? (folder / name).remove()
    }
  }

  private static let prefix = ".graft-"
  private static let suffix = ".tmp"

  /// A hidden name in the same folder, of fixed length so that a long file name stays possible.
  package static func temporaryPath(beside path: FilePath) -> FilePath {
    path.removingLastComponent() / (prefix + String(UInt64.random(in: 0 ... .max), radix: 36) + suffix)
  }
}

extension FileDescriptor {
  /// Writes all bytes; some systems refuse more than 2 GiB a call.
  package func writePieces(_ bytes: UnsafeRawBufferPointer) throws {
    var rest = bytes
    while !rest.isEmpty {
      let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 30))
      try writeAll(piece)
      rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(piece.count))
    }
  }
}
