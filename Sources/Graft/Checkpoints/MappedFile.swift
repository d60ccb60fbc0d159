import GraftSystem

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
  init(_ path: FilePath) throws(CheckpointError) {
    let (file, size): (FileDescriptor, Int)
    do { (file, size) = try RegularFile.open(path) } catch {
      throw CheckpointError(error, path: path)
    }
    defer { try? file.close() }
    guard size > 0 else {
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    guard let address = mmap(nil, size, PROT_READ, MAP_PRIVATE, file.rawValue, 0),
      address != MAP_FAILED
    else {
      throw .unreadable(path: path, reason: Errno.last.description)
    }
    bytes = UnsafeRawBufferPointer(start: address, count: size)
  }

  deinit {
    if let address = bytes.baseAddress {
      munmap(UnsafeMutableRawPointer(mutating: address), bytes.count)
    }
  }

  /// Calls `body` with the file's bytes, which are valid only inside it.
  func withBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    defer { withExtendedLifetime(self) {} }
    return try body(bytes)
  }

  /// Calls `body` with some of the bytes, whose memory goes back to the system afterwards: a backbone is read once, and its
  /// file must not stay in memory beside it.
  func reading<R>(_ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    defer { forget(range) }
    return try body(UnsafeRawBufferPointer(rebasing: bytes[range]))
  }

  /// Gives the memory of bytes that were read back to the system; to touch them again reads them again.
  private func forget(_ range: Range<Int>) {
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    // Whole pages alone: those at the ends may hold what others still read.
    let (begin, end) = ((range.lowerBound + page - 1) / page * page, range.upperBound / page * page)
    guard let address = bytes.baseAddress, begin < end, end <= bytes.count else { return }
    madvise(UnsafeMutableRawPointer(mutating: address + begin), end - begin, MADV_DONTNEED)
  }
}

extension RegularFile {
  /// The bytes of a small file of a checkpoint.
  static func checkpointBytes(_ path: FilePath, atMost limit: Int) throws(CheckpointError)
    -> [UInt8]
  {
    do { return try read(path, atMost: limit) } catch { throw CheckpointError(error, path: path) }
  }
}

extension CheckpointError {
  /// Why a file of a checkpoint cannot be read.
  init(_ fault: FileFault, path: FilePath) {
    self =
      fault == .missing ? .missingFile(path: path) : .unreadable(path: path, reason: "\(fault)")
  }
}
