import Foundation

/// Writing of files that are whole or not there.
///
/// Bytes go to a hidden sibling, are flushed to the disk, and the sibling is renamed over the destination.
/// A crash or a full disk leaves the old file as it was; readers that have the old file open keep it.
public enum AtomicFile {
  /// Writes a file.
  ///
  /// - Throws: ``CheckpointError/cannotWrite(path:reason:)``; nothing is left behind then.
  public static func write(_ bytes: [UInt8], to path: String) throws(CheckpointError) {
    try write(to: path) { (output) throws(CheckpointError) in
      try bytes.withUnsafeBufferPointer { (buffer) throws(CheckpointError) in
        try output.append(UnsafeRawBufferPointer(buffer))
      }
    }
  }

  /// Writes a text file in UTF-8.
  ///
  /// - Throws: ``CheckpointError/cannotWrite(path:reason:)``; nothing is left behind then.
  public static func write(_ text: String, to path: String) throws(CheckpointError) {
    try write(Array(text.utf8), to: path)
  }

  /// Creates a folder, and those above it, where they are missing.
  ///
  /// - Throws: ``CheckpointError/cannotWrite(path:reason:)``.
  public static func createFolder(_ path: String) throws(CheckpointError) {
    if mkdir(path, 0o777) == 0 { return }
    let failure = errno
    if failure == ENOENT, let parent = parent(of: path), parent != path {
      try createFolder(parent)
      if mkdir(path, 0o777) == 0 { return }
    }
    var status = stat()
    if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR { return }
    throw .cannotWrite(path: path, reason: String(cString: strerror(failure)))
  }

  /// Finds out before long work whether its results can be written.
  ///
  /// Creates the folder, writes and removes a small file in it, and compares the free space.
  ///
  /// - Parameters:
  ///   - folder: The folder that will receive the results.
  ///   - neededBytes: What will be written, in bytes.
  /// - Throws: ``CheckpointError/cannotWrite(path:reason:)``.
  public static func requireWritable(folder: String, neededBytes: Int = 0) throws(CheckpointError) {
    try createFolder(folder)
    let probe = temporaryPath(beside: folder + "/probe")
    try write([0], to: probe)
    unlink(probe)
    var status = statvfs()
    guard statvfs(folder, &status) == 0 else { return }
    let (free, overflow) = UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize))
    guard overflow || free >= UInt64(max(0, neededBytes)) else {
      throw .cannotWrite(path: folder, reason: "\(neededBytes) bytes are needed and \(free) are free")
    }
  }

  /// Removes what writers that were killed have left in a folder; nobody may be writing there.
  static func removeLeftovers(in folder: String) {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    for name in names where name.hasPrefix(temporaryPrefix) && name.hasSuffix(temporarySuffix) {
      unlink("\(folder)/\(name)")
    }
  }

  /// A file on its way to the disk.
  struct Output {
    fileprivate let descriptor: Int32
    fileprivate let path: String

    /// For tests: an output on a descriptor that the caller owns.
    init(descriptor: Int32, path: String) {
      self.descriptor = descriptor
      self.path = path
    }

    /// Adds bytes at the end.
    func append(_ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
      var rest = bytes
      while let address = rest.baseAddress, rest.count > 0 {
        // Some systems refuse more than 2 GiB a call.
        let count = Foundation.write(descriptor, address, min(rest.count, 1 << 30))
        if count < 0 {
          if errno == EINTR { continue }
          throw .cannotWrite(path: path, reason: systemErrorText())
        }
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
      }
    }
  }

  /// Writes a file in pieces, without holding all of it in memory.
  static func write(
    to path: String, _ body: (Output) throws(CheckpointError) -> Void
  ) throws(CheckpointError) {
    let temporary = temporaryPath(beside: path)
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw .cannotWrite(path: path, reason: systemErrorText()) }
    do throws(CheckpointError) {
      do throws(CheckpointError) {
        try body(Output(descriptor: descriptor, path: path))
        // EINVAL: a file system that cannot flush; what it offers is all there is.
        guard fsync(descriptor) == 0 || errno == EINVAL else {
          throw .cannotWrite(path: path, reason: systemErrorText())
        }
      } catch {
        close(descriptor)
        throw error
      }
      // Network file systems report a full disk here.
      guard close(descriptor) == 0 else { throw .cannotWrite(path: path, reason: systemErrorText()) }
      guard rename(temporary, path) == 0 else { throw .cannotWrite(path: path, reason: systemErrorText()) }
    } catch {
      unlink(temporary)
      throw error
    }
    flushFolder(of: path)
  }

  /// Makes the new name itself survive a crash; best effort, the file is already whole.
  private static func flushFolder(of path: String) {
    let descriptor = open(parent(of: path) ?? ".", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    fsync(descriptor)
    close(descriptor)
  }

  private static let temporaryPrefix = ".graft-"
  private static let temporarySuffix = ".tmp"

  /// A hidden name in the same folder, of fixed length so that a long file name stays possible.
  private static func temporaryPath(beside path: String) -> String {
    let name = temporaryPrefix + String(UInt64.random(in: 0 ... .max), radix: 36) + temporarySuffix
    return parent(of: path).map { $0.hasSuffix("/") ? $0 + name : "\($0)/\(name)" } ?? name
  }

  /// The folder part of a path; nil where it has none.
  private static func parent(of path: String) -> String? {
    var trimmed = path[...]
    while trimmed.count > 1, trimmed.last == "/" { trimmed.removeLast() }
    guard let slash = trimmed.lastIndex(of: "/") else { return nil }
    return slash == trimmed.startIndex ? "/" : String(trimmed[..<slash])
  }
}
