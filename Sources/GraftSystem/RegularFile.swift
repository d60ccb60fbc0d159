/// Why a file cannot be read; the system's own words where it has some.
package enum FileFault: Error, Equatable, CustomStringConvertible {
  /// There is nothing under that path.
  case missing
  /// A pipe, a device or a folder.
  case notRegular(isFolder: Bool)
  /// Larger than whoever reads it allows; in bytes.
  case tooLarge(size: Int, limit: Int)
  /// It ended before the size that it had.
  case shortened
  /// The system refuses.
  case system(Errno)

  package var description: String {
    switch self {
    case .missing: "there is no such file"
    case .notRegular(let isFolder):
      isFolder ? "it is a folder, not a regular file" : "it is not a regular file"
    case .tooLarge(let size, let limit): "it is too large: \(size) bytes, at most \(limit) are allowed"
    case .shortened: "it became shorter"
    case .system(let errno): errno.description
    }
  }
}

/// Reading of regular files: pipes, devices and folders are refused before a byte is read.
package enum RegularFile {
  /// The bytes of a file that fits in memory.
  ///
  /// - Parameter spare: open files that the process may have beside it; it is refused as if there were no more.
  package static func read(
    _ path: FilePath, atMost limit: Int, sparing spare: Int = 0
  ) throws(FileFault) -> [UInt8] {
    let (file, size) = try open(path, sparing: spare)
    defer { try? file.close() }
    guard size <= limit else { throw .tooLarge(size: size, limit: limit) }
    var fault: FileFault?
    let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, filled in
      do {
        while filled < size {
          let rest = UnsafeMutableRawBufferPointer(
            rebasing: UnsafeMutableRawBufferPointer(buffer)[filled..<size])
          let count = try file.read(into: rest)
          if count == 0 {
            fault = .shortened
            return
          }
          filled += count
        }
      } catch {
        fault = .system(Errno(any: error))
      }
    }
    if let fault { throw fault }
    return bytes
  }

  /// Opens a regular file and says its size in bytes; the caller closes it.
  package static func open(
    _ path: FilePath, sparing spare: Int = 0
  ) throws(FileFault) -> (file: FileDescriptor, size: Int) {
    let file: FileDescriptor
    do {
      // Not blocking: opening a pipe must not wait for its writer.
      file = try FileDescriptor.open(path, .readOnly, options: [.closeOnExec, .nonBlocking])
    } catch {
      let errno = Errno(any: error)
      throw [.noSuchFileOrDirectory, .notDirectory].contains(errno) ? .missing : .system(errno)
    }
    do {
      // The lowest number that is free is given: those below are taken.
      guard spare == 0 || Int(file.rawValue) + spare < mostOpenFiles else { throw Errno.tooManyOpenFiles }
      let status = try file.status()
      guard status.type == .regular else { throw FileFault.notRegular(isFolder: status.type == .directory) }
      return (file, Int(status.size))
    } catch {
      try? file.close()
      throw error as? FileFault ?? .system(Errno(any: error))
    }
  }

  /// How many files the process may have open, now.
  private static var mostOpenFiles: Int {
    var limit = rlimit()
    #if canImport(Glibc)
      let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    #else
      let resource = RLIMIT_NOFILE
    #endif
    return getrlimit(resource, &limit) == 0 ? Int(clamping: limit.rlim_cur) : .max
  }
}
