// Eight threads that count under one lock: no race, yet ThreadSanitizer reports one (Swift 6.3 on Linux). Where a thread
// must wait, Mutex takes the lock in a library that is built without the sanitizer. tools/sanitizers/thread.txt leans on it.
//
//   swiftc -sanitize=thread tools/sanitizers/ContendedMutex.swift -o /tmp/contended && /tmp/contended

import Foundation
import Synchronization

final class Counter: Sendable {
  let value = Mutex(0)
}

let counter = Counter()
DispatchQueue.concurrentPerform(iterations: 8) { _ in
  for _ in 0..<20_000 {
    counter.value.withLock { value in
      value += 1
      // Long enough for others to wait.
      if value % 1000 == 0 { usleep(100) }
    }
  }
}
print(counter.value.withLock { $0 })
