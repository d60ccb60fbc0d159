import Foundation

/// Asks PoCL to keep each of its workers on a processor of its own.
///
/// Where Linux wakes two workers on one processor it can leave them there for milliseconds, and work takes twice as long
/// meanwhile. A process that may run on some processors only, or whose user has set `POCL_AFFINITY`, is left alone: PoCL
/// counts processors from the machine's first. Only the command does so; an app decides for itself.
func pinDriverWorkers() {
  let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
  let allowed = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }?.dropFirst(18)
  let online = try? String(contentsOfFile: "/sys/devices/system/cpu/online", encoding: .utf8)
  guard let allowed, let online, allowed.filter({ !$0.isWhitespace }) == online.filter({ !$0.isWhitespace })
  else { return }
  setenv("POCL_AFFINITY", "1", 0)
}

/// Takes an empty `POCL_CACHE_DIR` for none, as it is meant: PoCL 3.1 ends the process for it.
///
/// Before anything else runs, since other threads may read the environment later.
func mendDriverEnvironment() {
  if ProcessInfo.processInfo.environment["POCL_CACHE_DIR"]?.isEmpty == true { unsetenv("POCL_CACHE_DIR") }
}
