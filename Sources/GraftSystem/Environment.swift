/// The value of a variable of the environment.
package func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

/// The path in a variable of the environment, byte for byte; nil where it is not set or empty.
package func environmentPath(_ name: String) -> FilePath? {
  getenv(name).map { FilePath(platformString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
}

/// Where the user's caches lie; nil where nothing says so.
package var userCaches: FilePath? {
  #if os(macOS)
    environmentPath("HOME").map { $0 / "Library/Caches" }
  #else
    environmentPath("XDG_CACHE_HOME").flatMap { $0.isAbsolute ? $0 : nil }
      ?? environmentPath("HOME").map { $0 / ".cache" }
  #endif
}
