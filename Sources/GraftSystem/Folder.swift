/// Listing of folders: names are the bytes that the file system has.
package enum Folder {
  /// The names in a folder, in no order, without `.` and `..`.
  ///
  /// - Throws: `Errno`.
  package static func names(in path: FilePath) throws(Errno) -> [FilePath.Component] {
    guard let stream = path.withPlatformString({ opendir($0) }) else { throw Errno.last }
    defer { closedir(stream) }
    var names: [FilePath.Component] = []
    while true {
      // The end and a failure look alike but for this.
      errno = 0
      guard let entry = readdir(stream) else {
        guard errno == 0 else { throw Errno.last }
        return names
      }
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CInterop.PlatformChar.self, capacity: Int(NAME_MAX) + 1) {
          // nil for `.` and `..`, which are no names of their own.
          FilePath.Component(platformString: $0)
        }
      }
      if let name, name.kind == .regular { names.append(name) }
    }
  }

  /// Creates a folder, and those above it, where they are missing.
  ///
  /// - Throws: `Errno`.
  package static func make(_ path: FilePath, _ permissions: mode_t = 0o777) throws(Errno) {
    guard !path.isFolder else { return }
    do {
      try path.makeFolder(permissions)
    } catch .noSuchFileOrDirectory where !path.removingLastComponent().isEmpty {
      try make(path.removingLastComponent(), permissions)
      if !path.isFolder { try path.makeFolder(permissions) }
    } catch {
      // Somebody else may have been faster.
      guard path.isFolder else { throw error }
    }
  }
}
