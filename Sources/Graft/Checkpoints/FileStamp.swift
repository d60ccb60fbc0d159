import GraftSystem

/// Which file stands under a name: writers rename a new file over the old one.
struct FileStamp: Equatable {
  private let device: DeviceID
  private let inode: Inode

  /// `nil` where there is no file.
  init?(_ path: FilePath?) {
    guard let status = try? path?.status() else { return nil }
    device = status.deviceID
    inode = status.inode
  }
}
