#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// The folder that PoCL (3.1) keeps compiled kernels in.
///
/// Where it cannot be made PoCL lists no device, and where it is there and cannot be written no kernel compiles; PoCL
/// says neither.
enum PoCLCache {
  /// The folder under an environment.
  static func folder(_ variable: (String) -> PathBytes?) -> PathBytes {
    if let asked = variable("POCL_CACHE_DIR"), asked.count > 1 { return asked }
    let keeps = variable("POCL_KERNEL_CACHE")?.text != "0"
    let name = PathBytes((keeps ? "pocl/kcache" : "pocl/uncached").utf8CString)
    if let caches = variable("XDG_CACHE_HOME"), caches.count > 1 { return caches.appending(name) }
    // Even where HOME is empty.
    if let home = variable("HOME") {
      return (home.dropLast() + "/.cache\0".utf8CString.dropLast()).appending(name)
    }
    return PathBytes("/tmp".utf8CString).appending(name)
  }

  /// What keeps PoCL from writing there; `nil` where nothing does.
  ///
  /// Does what PoCL did before: makes the folder, and a file in it, which goes again. Nothing else tells of a
  /// read-only mount, another user's folder and a full disk alike.
  static func fault(_ variable: (String) -> PathBytes? = { bytes(of: $0) }) -> String? {
    let folder = folder(variable)
    for end in folder.indices.dropFirst() where folder[end] == slash || folder[end] == 0 {
      let parent = PathBytes(folder[..<end] + [0])
      let code = mkdir(parent, 0o700) == 0 ? 0 : errno
      guard code == 0 || code == EEXIST else {
        return "its cache folder \(folder.text) cannot be made: \(parent.text): \(systemWords(code))"
      }
    }
    var probe = folder.appending(PathBytes("graft-XXXXXX".utf8CString))
    let descriptor = mkstemp(&probe)
    let code = errno
    guard descriptor >= 0 else {
      return "its cache folder \(folder.text) cannot be written: \(systemWords(code))"
    }
    close(descriptor)
    unlink(probe)
    return nil
  }

  static let advice = """
    Name a folder that you may write to: POCL_CACHE_DIR=FOLDER (such as \
    POCL_CACHE_DIR=/tmp/pocl-cache).
    """
}
