// The system calls that swift-system does not wrap: paths as bytes, failures as `Errno`.

extension FilePath {
  /// What the path leads to, by links too.
  ///
  /// - Throws: `Errno`.
  package func status() throws(Errno) -> Stat {
    do { return try Stat(self) } catch { throw Errno(any: error) }
  }

  /// Whether something is there, by links too.
  package var exists: Bool { (try? status()) != nil }

  /// Whether the name is taken, be it by what cannot be followed or looked at.
  package var isTaken: Bool {
    do throws(Errno) {
      _ = try Stat(self, followTargetSymlink: false)
      return true
    } catch {
      return ![.noSuchFileOrDirectory, .notDirectory, .fileNameTooLong].contains(error)
    }
  }

  /// Whether a folder is there, by links too.
  package var isFolder: Bool { (try? status())?.type == .directory }

  /// Creates a folder; those above it must be there.
  package func makeFolder(_ permissions: mode_t = 0o777) throws(Errno) {
    try checked { mkdir($0, permissions) }
  }

  /// Removes a file, or a link to one.
  package func remove() throws(Errno) {
    try checked { unlink($0) }
  }

  /// Gives a file another name on the same file system, in one step; what had the name is gone.
  package func rename(to path: FilePath) throws(Errno) {
    try checked { old in
      path.withPlatformString { new in renameByName(old, new) }
    }
  }

  private func checked(_ call: (UnsafePointer<CInterop.PlatformChar>) -> Int32) throws(Errno) {
    guard withPlatformString(call) == 0 else { throw Errno.last }
  }
}

/// The C library's `rename`, which the method of that name would hide.
private func renameByName(
  _ old: UnsafePointer<CInterop.PlatformChar>, _ new: UnsafePointer<CInterop.PlatformChar>
) -> Int32 {
  rename(old, new)
}

extension FileDescriptor {
  /// Has the system put the file on the disk.
  package func flush() throws(Errno) {
    // EINVAL: a file system that cannot flush; what it offers is all there is.
    guard fsync(rawValue) != 0, Errno.last != .invalidArgument else { return }
    throw Errno.last
  }

  /// What is open, by links too.
  package func status() throws(Errno) -> Stat {
    do { return try stat() } catch { throw Errno(any: error) }
  }
}

extension Errno {
  /// Why the last call failed.
  package static var last: Errno { Errno(rawValue: errno) }

  /// swift-system throws nothing but `Errno`, untyped.
  package init(any error: any Error) { self = error as? Errno ?? .ioError }
}
