// For `environ`, a variable of the C library's that Swift cannot know to be left alone.
#if canImport(Darwin)
  @preconcurrency import Darwin
#elseif canImport(Glibc)
  @preconcurrency import Glibc
#elseif canImport(Musl)
  @preconcurrency import Musl
#endif

/// A program that is run for how it ends: one that does what may crash or hang.
package enum ChildProcess {
  package enum End: Equatable, Sendable, CustomStringConvertible {
    case exited(Int32)
    /// A crash.
    case signal(Int32)
    /// It was ended, since it took too long.
    case tookTooLong
    case notStarted(Errno)

    /// What it did, in words that follow its name.
    package var description: String {
      switch self {
      case .exited(let status): "ended with status \(status)"
      case .signal(let number): "crashed (signal \(number))"
      case .tookTooLong: "did not end in time"
      case .notStarted(let error): "could not be started (\(error))"
      }
    }
  }

  /// Runs a program, which reads nothing and whose output nobody sees.
  ///
  /// - Parameters:
  ///   - program: a path, or a name that `PATH` finds.
  ///   - limit: how long it may run before it is ended.
  package static func run(_ program: FilePath, _ arguments: [String], limit: Duration) -> End {
    var child = pid_t()
    let error = spawn(program, arguments, &child)
    guard error == 0 else { return .notStarted(Errno(rawValue: error)) }
    let deadline = ContinuousClock.now + limit
    var status: Int32 = 0
    while true {
      let ended = waitpid(child, &status, WNOHANG)
      if ended == child { break }
      if ended < 0, errno != EINTR { return .notStarted(Errno(rawValue: errno)) }
      if ContinuousClock.now > deadline {
        kill(child, SIGKILL)
        while waitpid(child, &status, 0) < 0, errno == EINTR {}
        return .tookTooLong
      }
      usleep(10_000)
    }
    // As the macros of wait.h, which Swift does not see.
    let number = status & 0x7f
    return number == 0 ? .exited(status >> 8 & 0xff) : .signal(number)
  }

  private static func spawn(_ program: FilePath, _ arguments: [String], _ child: inout pid_t) -> Int32 {
    #if canImport(Darwin)
      var actions: posix_spawn_file_actions_t?
    #else
      var actions = posix_spawn_file_actions_t()
    #endif
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for (descriptor, mode) in [
      (STDIN_FILENO, O_RDONLY), (STDOUT_FILENO, O_WRONLY), (STDERR_FILENO, O_WRONLY),
    ] {
      posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", mode, 0)
    }
    return program.withPlatformString { path in
      var words = [strdup(path)] + arguments.map { strdup($0) } + [nil]
      defer { for word in words { free(word) } }
      return posix_spawnp(&child, path, &actions, nil, &words, environ)
    }
  }
}
