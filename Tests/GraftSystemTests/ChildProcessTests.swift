import GraftSystem
import Testing

/// A child is known by its end, whatever that is.
@Suite struct ChildProcessTests {
  private func shell(_ script: String, limit: Duration = .seconds(30)) -> ChildProcess.End {
    ChildProcess.run("/bin/sh", ["-c", script], limit: limit)
  }

  @Test func endsAreToldApart() {
    #expect(shell("exit 0") == .exited(0))
    #expect(shell("echo is dropped; exit 70") == .exited(70))
    #expect(shell("kill -SEGV $$") == .signal(11))
    #expect(ChildProcess.run("sh", ["-c", "exit 3"], limit: .seconds(30)) == .exited(3))
    let missing = ChildProcess.run("/no/such/program", [], limit: .seconds(30))
    #expect(missing == .notStarted(.noSuchFileOrDirectory))
    #expect("\(missing)".contains("could not be started"))
  }

  @Test func whatHangsIsEnded() {
    let start = ContinuousClock.now
    #expect(shell("exec sleep 600", limit: .milliseconds(200)) == .tookTooLong)
    #expect(ContinuousClock.now - start < .seconds(300))
  }

  @Test func itReadsNothingAndHasTheEnvironment() {
    #expect(shell("read line && exit 1; test -n \"$PATH\"") == .exited(0))
  }
}
