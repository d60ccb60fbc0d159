import Foundation

/// Reading of regular files: pipes, devices and folders are refused before a byte is read.
enum RegularFile {
  /// The bytes of a small file.
  static func read(_ path: String, atMost limit: Int) throws(CheckpointError) -> [UInt8] {
    let (descriptor, size) = try open(path)
    defer { close(descriptor) }
    guard size <= limit else {
      throw .unreadable(path: path, reason: "it has \(size) bytes, at most \(limit) are allowed")
    }
    var bytes = [UInt8](repeating: 0, count: size)
    var filled = 0
    while filled < size {
      let count = bytes.withUnsafeMutableBytes {
        Foundation.read(descriptor, $0.baseAddress.map { $0 + filled }, size - filled)
      }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else {
        throw .unreadable(path: path, reason: count == 0 ? "it became shorter" : systemErrorText())
      }
      filled += count
    }
    return bytes
  }

  /// Opens a regular file and says its size in bytes; the caller closes the descriptor.
  fileprivate static func open(_ path: String) throws(CheckpointError) -> (descriptor: Int32, size: Int) {
    // Not blocking: opening a pipe must not wait for its writer.
    let descriptor = Foundation.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      if errno == ENOENT || errno == ENOTDIR { throw .missingFile(path: path) }
      throw .unreadable(path: path, reason: systemErrorText())
    }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
      let size = Int(exactly: status.st_size)
    else {
      close(descriptor)
      throw .unreadable(path: path, reason: "it is not a regular file")
    }
    return (descriptor, size)
  }
}

/// A whole file in memory, read page by page as it is touched.
///
/// The file must not be truncated while it is mapped: touching a page that is gone ends the process.
/// Replacing it by renaming another file over it is harmless, and is what all of Graft's writers do.
///
/// `@unchecked Sendable`: the mapping is read-only, `bytes` never changes, and the pages live until
/// `deinit`, which runs once no task holds a reference; so any number of threads may read at once.
final class MappedFile: @unchecked Sendable {
  private let bytes: UnsafeRawBufferPointer

  /// Number of bytes.
  var count: Int { bytes.count }

  /// Maps a regular file.
  init(_ path: String) throws(CheckpointError) {
    let (descriptor, size) = try RegularFile.open(path)
    defer { close(descriptor) }
    guard size > 0 else {
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    guard let address = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), address != MAP_FAILED else {
      throw .unreadable(path: path, reason: systemErrorText())
    }
    bytes = UnsafeRawBufferPointer(start: address, count: size)
  }

  deinit {
    if let address = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: address), bytes.count) }
  }

  /// Calls `body` with the file's bytes, which are valid only inside it.
  func withBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    defer { withExtendedLifetime(self) {} }
    return try body(bytes)
  }

  /// Gives the memory of bytes that were read back to the system; to touch them again reads them again.
  func forget(_ range: Range<Int>) {
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    // Whole pages alone: those at the ends may hold what others still read.
    let (begin, end) = ((range.lowerBound + page - 1) / page * page, range.upperBound / page * page)
    guard let address = bytes.baseAddress, begin < end, end <= bytes.count else { return }
    madvise(UnsafeMutableRawPointer(mutating: address + begin), end - begin, MADV_DONTNEED)
  }
}

/// The system's words for the last failed call.
func systemErrorText() -> String {
  String(cString: strerror(errno))
}
