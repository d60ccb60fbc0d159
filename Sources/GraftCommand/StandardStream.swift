import GraftSystem
import Synchronization

/// Standard output and standard error: the only place that writes to them.
enum StandardStream: Sendable {
  case output, error

  /// Makes the three standard descriptors exist, and a closed pipe or a file beyond the limit on sizes an error instead
  /// of the process's end.
  ///
  /// Where one is closed, the next file that is opened would get its number, and messages would go into that file. It
  /// gets one that cannot be written to.
  static func prepare() {
    for number in Int32(0)...2 where fcntl(number, F_GETFD) == -1 {
      _ = try? FileDescriptor.open("/dev/null", .readOnly)
    }
    signal(SIGPIPE, SIG_IGN)
    signal(SIGXFSZ, SIG_IGN)
  }

  /// Writes all of a text.
  func write(_ text: String) throws(Errno) {
    let file: FileDescriptor = self == .output ? .standardOutput : .standardError
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      guard waits(for: file) else { throw .interrupted }
      do {
        // No more than a pipe takes that is said to be ready.
        rest = rest.dropFirst(try rest.prefix(4096).withUnsafeBytes { try file.write($0) })
      } catch {
        let errno = Errno(any: error)
        guard errno == .resourceTemporarilyUnavailable else { throw errno }
        // Another process has made the terminal or pipe non-blocking: wait again.
      }
    }
  }

  /// Waits until a file takes more; false when it does not within a second after a signal asked for the end.
  private func waits(for file: FileDescriptor) -> Bool {
    var patience = 10
    while true {
      var wanted = pollfd(fd: file.rawValue, events: Int16(POLLOUT), revents: 0)
      if poll(&wanted, 1, 100) > 0 { return true }
      if StopSignal.isRaised { patience -= 1 }
      if patience == 0 { return false }
    }
  }

  /// Whether someone watches.
  var isTerminal: Bool { isatty(self == .output ? STDOUT_FILENO : STDERR_FILENO) == 1 }
}
