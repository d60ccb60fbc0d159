import GraftSystem

/// The folder that PoCL (3.1) keeps compiled kernels in.
///
/// Where it cannot be made PoCL lists no device, and where it is there and cannot be written no kernel compiles; PoCL
/// says neither.
enum PoCLCache {
  /// The folder under an environment, whose variables may be there and empty.
  static func folder(_ variable: (String) -> FilePath?) -> FilePath {
    func value(_ name: String) -> FilePath? { variable(name).flatMap { $0.isEmpty ? nil : $0 } }
    if let asked = value("POCL_CACHE_DIR") { return asked }
    let name = variable("POCL_KERNEL_CACHE") == "0" ? "pocl/uncached" : "pocl/kcache"
    if let caches = value("XDG_CACHE_HOME") { return caches / name }
    // Even where HOME is empty.
    return variable("HOME").map { ($0.isEmpty ? "/" : $0) / ".cache" / name } ?? "/tmp" / name
  }

  /// How many programs the folder holds: each lies in a folder of its own, in one named by two letters.
  static func programCount() -> Int {
    let folder = folder { name in getenv(name).map { FilePath(platformString: $0) } }
    let names = (try? Folder.names(in: folder)) ?? []
    return names.reduce(0) { $0 + ((try? Folder.names(in: folder / $1))?.count ?? 0) }
  }

  /// What keeps PoCL from writing there; `nil` where nothing does.
  ///
  /// Does what PoCL did before: makes the folder, and a file in it, which goes again. Nothing else tells of a
  /// read-only mount, another user's folder and a full disk alike.
  static func fault(
    _ variable: (String) -> FilePath? = { name in getenv(name).map { FilePath(platformString: $0) } }
  ) -> String? {
    let folder = folder(variable)
    var parent = FilePath(root: folder.root, [])
    for name in folder.components {
      parent.append(name)
      do { try parent.makeFolder(0o700) } catch .fileExists {
      } catch {
        return "its cache folder \(printable(folder)) cannot be made: \(printable(parent)): \(error)"
      }
    }
    do {
      let probe = AtomicWrite.temporaryPath(beside: folder / "probe")
      let file = try FileDescriptor.open(
        probe, .writeOnly, options: [.create, .exclusiveCreate, .closeOnExec], permissions: .ownerReadWrite)
      try? file.close()
      try? probe.remove()
      return nil
    } catch {
      return "its cache folder \(printable(folder)) cannot be written: \(Errno(any: error))"
    }
  }

  static let advice = """
    Name a folder that you may write to: POCL_CACHE_DIR=FOLDER (such as \
    POCL_CACHE_DIR=/tmp/pocl-cache).
    """
}
