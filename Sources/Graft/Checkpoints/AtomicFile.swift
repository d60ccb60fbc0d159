import GraftSystem
public import SystemPackage

/// Writing of files that are whole or not there.
///
/// Bytes go to a hidden sibling, are flushed to the disk, and the sibling is renamed over the destination.
/// A crash or a full disk leaves the old file as it was; readers that have the old file open keep it.
public enum AtomicFile {
  /// Writes a file.
  ///
  /// - Throws: ``CheckpointError/cannotWrite(path:reason:)``; nothing is left behind then.
  public static func write(_ bytes: [UInt8], to path: FilePath) throws(CheckpointError) {
    try write(to: path) { (output) throws(CheckpointError) in
      try bytes.withUnsafeBufferPointer { (buffer) throws(CheckpointError) in
        try output.append(UnsafeRawBufferPointer(buffer))
      }
    }
  }

  /// Writes a text file in UTF-8.
  ///
  /// - Throws: ``CheckpointError/cannotWrite(path:reason:)``; nothing is left behind then.
  public static func write(_ text: String, to path: FilePath) throws(CheckpointError) {
    try write(Array(text.utf8), to: path)
  }

  /// Creates a folder, and those above it, where they are missing.
  ///
  /// - Throws: ``CheckpointError/cannotWrite(path:reason:)``.
  public static func createFolder(_ path: FilePath) throws(CheckpointError) {
    do { try Folder.make(path) } catch { throw .cannotWrite(path: path, reason: error.description) }
  }

  /// Finds out before long work whether its results can be written.
  ///
  /// Creates the folder, writes and removes a small file in it, and compares the free space.
  ///
  /// - Parameters:
  ///   - folder: The folder that will receive the results.
  ///   - neededBytes: What will be written, in bytes.
  /// - Throws: ``CheckpointError/cannotWrite(path:reason:)``.
  public static func requireWritable(folder: FilePath, neededBytes: Int = 0) throws(CheckpointError) {
    try createFolder(folder)
    let probe = AtomicWrite.temporaryPath(beside: folder / "probe")
    try write([0], to: probe)
    try? probe.remove()
    var status = statvfs()
    guard folder.withPlatformString({ statvfs($0, &status) }) == 0 else { return }
    let (free, overflow) = UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize))
    guard overflow || free >= UInt64(max(0, neededBytes)) else {
      throw .cannotWrite(path: folder, reason: "\(neededBytes) bytes are needed and \(free) are free")
    }
  }

  /// A file on its way to the disk.
  struct Output {
    /// The open file.
    let file: FileDescriptor
    /// Where it is going, for errors.
    let path: FilePath

    /// Adds bytes at the end.
    func append(_ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
      do {
        try file.writePieces(bytes)
      } catch {
        throw .cannotWrite(path: path, reason: Errno(any: error).description)
      }
    }
  }

  /// Writes a file in pieces, without holding all of it in memory.
  static func write(
    to path: FilePath, _ body: (Output) throws(CheckpointError) -> Void
  ) throws(CheckpointError) {
    do {
      try AtomicWrite.write(to: path) { try body(Output(file: $0, path: path)) }
    } catch let error as CheckpointError {
      throw error
    } catch let fault as FileFault {
      throw .cannotWrite(path: path, reason: "\(fault)")
    } catch {
      throw .cannotWrite(path: path, reason: Errno(any: error).description)
    }
  }
}
