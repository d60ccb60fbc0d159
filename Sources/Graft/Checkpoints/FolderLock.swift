import GraftSystem

/// Keeps a folder for one run, in this process or in any other, until it is released or the process ends, however it
/// ends.
///
/// The folder itself is locked: a lock file would have to be removed, and no order of unlocking and removing is safe.
final class FolderLock {
  private let file: FileDescriptor

  /// Locks a folder, at once or not at all.
  ///
  /// - Throws: ``GraftError/badOutput(folder:reason:)`` while another run has it.
  init(_ folder: FilePath) throws(GraftError) {
    do {
      file = try FileDescriptor.open(folder, .readOnly, options: .closeOnExec)
    } catch {
      throw .badOutput(folder: folder, reason: "\(Errno(any: error)).")
    }
    // File systems that know no locks (some network ones) say something else: there, nobody is refused.
    guard flock(file.rawValue, LOCK_EX | LOCK_NB) != 0, Errno.last == .wouldBlock else { return }
    try? file.close()
    throw .badOutput(
      folder: folder,
      reason: "another run is training into it. Wait until it has ended, or choose another folder.")
  }

  deinit { try? file.close() }
}
