import Foundation

/// Keeps a folder for one run, in this process or in any other, until it is released or the process ends, however it
/// ends.
///
/// The folder itself is locked: a lock file would have to be removed, and no order of unlocking and removing is safe.
final class FolderLock {
  private let descriptor: Int32

  /// Locks a folder, at once or not at all.
  ///
  /// - Throws: ``GraftError/badOutput(folder:reason:)`` while another run has it.
  init(_ folder: String) throws(GraftError) {
    descriptor = open(folder, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .badOutput(folder: folder, reason: systemErrorText() + ".") }
    // File systems that know no locks (some network ones) say something else: there, nobody is refused.
    guard flock(descriptor, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK else { return }
    close(descriptor)
    throw .badOutput(
      folder: folder,
      reason: "another run is training into it. Wait until it has ended, or choose another folder.")
  }

  deinit { close(descriptor) }
}
