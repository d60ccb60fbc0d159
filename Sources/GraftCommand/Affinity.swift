import GraftSystem

/// Asks PoCL to keep each of its workers on a processor of its own.
///
/// Where Linux wakes two workers on one processor it can leave them there for milliseconds, and work takes twice as long
/// meanwhile. A process that may run on some processors only, or whose user has set `POCL_AFFINITY`, is left alone: PoCL
/// counts processors from the machine's first. Only the command does so; an app decides for itself.
func pinDriverWorkers() {
  let status = start(of: "/proc/self/status") ?? ""
  let allowed = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }?.dropFirst(18)
  let online = start(of: "/sys/devices/system/cpu/online")
  guard let allowed, let online, allowed.filter({ !$0.isWhitespace }) == online.filter({ !$0.isWhitespace })
  else { return }
  setenv("POCL_AFFINITY", "1", 0)
}

/// Takes an empty `POCL_CACHE_DIR` for none, as it is meant: PoCL 3.1 ends the process for it.
///
/// Before anything else runs, since other threads may read the environment later.
func mendDriverEnvironment() {
  if environment("POCL_CACHE_DIR")?.isEmpty == true { unsetenv("POCL_CACHE_DIR") }
}

/// The first 16 KiB of one of the kernel's own files, which say no size.
private func start(of path: FilePath) -> String? {
  guard let file = try? FileDescriptor.open(path, .readOnly, options: .closeOnExec) else { return nil }
  defer { try? file.close() }
  var bytes = [UInt8](repeating: 0, count: 1 << 14)
  guard let count = try? bytes.withUnsafeMutableBytes({ try file.read(into: $0) }) else { return nil }
  return String(decoding: bytes.prefix(count), as: UTF8.self)
}
