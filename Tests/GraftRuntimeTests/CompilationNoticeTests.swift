import Synchronization
import Testing

@testable import GraftRuntime

/// Compilation is told of where it is one, takes long, and not again.
@Suite struct CompilationNoticeTests {
  private final class Counter: Sendable {
    let value = Mutex(0)
  }

  /// How often it is told of builds of so many milliseconds, where the driver keeps one more program from each of some.
  private func told(_ builds: [(milliseconds: Int, isNew: Bool)], shows: Bool) -> Int {
    let (kept, told) = (Counter(), Counter())
    let notice = CompilationNotice(
      countKept: { shows ? kept.value.withLock { $0 } : nil }, tell: { told.value.withLock { $0 += 1 } })
    for build in builds {
      notice.timing { if build.isNew { kept.value.withLock { $0 += 1 } } }
      notice.add(.milliseconds(build.milliseconds))
    }
    return told.value.withLock { $0 }
  }

  @Test(arguments: [true, false]) func isToldOnceAfterHalfASecond(_ shows: Bool) {
    #expect(told([(300, true)], shows: shows) == 0)
    #expect(told([(300, true), (300, true)], shows: shows) == 1)
    #expect(told([(900, true), (900, true)], shows: shows) == 1)
  }

  /// However slow the machine is.
  @Test func readingIsNoCompilation() {
    let reading = [(milliseconds: 900, isNew: false), (milliseconds: 900, isNew: false)]
    #expect(told(reading, shows: true) == 0)
    #expect(told(reading + [(milliseconds: 900, isNew: true)], shows: true) == 1)
  }
}
