import Foundation

/// Which file stands under a name: writers rename a new file over the old one.
struct FileStamp: Equatable {
  private let device: UInt64
  private let inode: UInt64

  /// `nil` where there is no file.
  init?(_ path: String?) {
    var status = stat()
    guard let path, stat(path, &status) == 0 else { return nil }
    device = UInt64(truncatingIfNeeded: status.st_dev)
    inode = UInt64(status.st_ino)
  }
}
