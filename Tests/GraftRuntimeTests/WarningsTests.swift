import Logging
import Synchronization
import Testing

@testable import GraftRuntime

/// What is switched off or cannot be trusted is named in the log.
@Suite(.serialized) struct WarningsTests {
  private static let messages: Messages = {
    let messages = Messages()
    LoggingSystem.bootstrap { _ in Messages.Handler(messages: messages) }
    return messages
  }()

  @Test func aVariantThatFailsIsNamedOnce() {
    let messages = Self.messages
    let checks = SelfChecks(device: "a device")
    for _ in 0..<2 {
      #expect(checks.verdict(on: "right") { true })
      #expect(!checks.verdict(on: "wrong") { false })
    }
    #expect(messages.all.filter { $0.contains("a device") }.count == 1)
    #expect(messages.all.contains { $0.hasPrefix("wrong failed its self-check on a device") })
  }

  @Test func aVariantThatIsRejectedIsNotChecked() {
    let messages = Self.messages
    let checks = SelfChecks(device: "a fragile device")
    checks.reject("wild", fault: "crashed")
    #expect(!checks.verdict(on: "wild") { true })
    #expect(messages.all.filter { $0.contains("a fragile device") }.count == 1)
    #expect(messages.all.contains { $0.hasPrefix("wild crashed on a fragile device") })
  }

  @Test func longLoopsAreNamed() throws {
    let messages = Self.messages
    var traits = try Device.select().traits
    traits.name = "a rasteriser"
    traits.quirks = []
    Warnings.limits(of: traits)
    #expect(!messages.all.contains { $0.contains("a rasteriser") })
    traits.quirks = [.endsLongLoops]
    Warnings.limits(of: traits)
    #expect(messages.all.contains { $0.hasPrefix("a rasteriser leaves a kernel's loops") })
  }

  @Test func openingADeviceNamesItsLimits() throws {
    let messages = Self.messages
    let traits = try Context(Device.select()).traits
    let isNamed = messages.all.contains { $0.hasPrefix("\(traits.name) leaves a kernel's loops") }
    #expect(isNamed == traits.quirks.contains(.endsLongLoops))
  }
}

/// A log that is kept.
private final class Messages: Sendable {
  private let kept = Mutex<[String]>([])

  var all: [String] { kept.withLock { $0 } }

  func add(_ message: String) { kept.withLock { $0.append(message) } }

  struct Handler: LogHandler {
    let messages: Messages
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.warning

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { messages.add("\(event.message)") }
  }
}
