import ArgumentParser
import Graft
import GraftData
import GraftOps
import GraftRuntime
import GraftSystem
import Synchronization

/// Says what happens: text for people, or JSON lines for scripts.
///
/// What standard error does not take is dropped. What standard output does not take is remembered: work goes on to
/// where everything is saved, and the verb ends with status 73.
struct Reporter: Sendable {
  let isJSON: Bool
  /// Whether the verb can leave out pictures that are broken, and was not told to.
  var offersSkipping = false
  /// A progress bar makes sense only where someone watches.
  var isTerminal: Bool { StandardStream.error.isTerminal }

  /// Why standard output failed; nil while it takes everything.
  private static let outputFault = Mutex<Errno?>(nil)

  /// False once standard output has failed: whatever is still to be said, nobody will read it.
  static var isHeard: Bool { outputFault.withLock { $0 == nil } }

  /// Whether the reader of standard output has gone away.
  static var isLeft: Bool { outputFault.withLock { $0 == .brokenPipe } }

  /// Text for people; on standard error when standard output carries JSON.
  func say(_ message: Message) {
    if isJSON { note(message) } else { Self.put(message.text + "\n") }
  }

  /// A remark on standard error.
  func note(_ message: Message) { whisper(message.text + "\n") }

  /// One JSON object a line; nothing without `--json`.
  func emit(_ event: String, _ fields: [String: JSONValue]) {
    guard isJSON else { return }
    let text = JSONValue.object(fields.merging(["event": .string(event)]) { $1 }).text
    Self.put(text.unicodeScalars.map(Self.escapedForJSON).joined() + "\n")
  }

  /// What is registered as a driver and gives no device, for whoever misses one.
  func remarkOnDrivers() {
    for finding in DriverFinding.all() {
      note("Driver: \(finding)")
      emit(finding)
    }
  }

  private func emit(_ finding: DriverFinding) {
    emit("driver", (try? JSONValue(encoding: finding).objectValue) ?? [:])
  }

  /// What would steer a terminal or end a line stands in a JSON string only, where an escape is the same text.
  private static func escapedForJSON(_ scalar: Unicode.Scalar) -> String {
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator:
      String(scalar).utf16.map { unit in
        let digits = String(unit, radix: 16)
        return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      }.joined()
    default: String(scalar)
    }
  }

  /// A line that replaces the one before it on a terminal; nothing elsewhere.
  func progress(_ message: Message) {
    if isTerminal { whisper("\r\u{1B}[2K" + message.text) }
  }

  /// Ends the line that ``progress(_:)`` writes.
  func endProgress() {
    if isTerminal { whisper("\r\u{1B}[2K") }
  }

  private func whisper(_ text: String) { try? StandardStream.error.write(text) }

  /// Writes to standard output until that fails.
  static func put(_ text: String) {
    outputFault.withLock { fault in
      guard fault == nil else { return }
      do throws(Errno) { try StandardStream.output.write(text) } catch { fault = error }
    }
  }

  /// Runs a verb and turns its errors into a message and an exit status.
  func run(_ body: () async throws -> Void) async throws {
    do {
      try await body()
    } catch let error as ExitCode {
      // Whoever stopped the work by a signal is told that, whatever became of the output.
      throw StopSignal.isRaised ? error : outputFailure() ?? error
    } catch let error as ValidationError {
      throw error
    } catch {
      endProgress()
      let isSkippable = offersSkipping && (error as? DataError)?.isOfOnePicture == true
      let advice = isSkippable ? " --skip-broken leaves such files out." : ""
      note("Error: \(error)\(advice)")
      if case RuntimeError.noDevice(let findings) = error { findings.forEach(emit) }
      emit("error", ["message": .string("\(error)\(advice)")])
      throw exitCode(for: error)
    }
    if let failure = outputFailure() { throw failure }
  }

  /// The status of a verb whose result could not be written; nil where it was.
  func outputFailure() -> ExitCode? {
    guard let fault = Self.outputFault.withLock({ $0 }) else { return nil }
    endProgress()
    note("Error: standard output cannot be written: \(fault.description).")
    return ExitCode(EX_CANTCREAT)
  }
}

private func exitCode(for error: any Error) -> ExitCode {
  switch error {
  case RuntimeError.noDevice, RuntimeError.unknownDevice: ExitCode(EX_UNAVAILABLE)
  case is RuntimeError: ExitCode(EX_SOFTWARE)
  case CheckpointError.cannotWrite, GraftError.badOutput: ExitCode(EX_CANTCREAT)
  case is CheckpointError, is DataError, GraftError.wrongClasses: ExitCode(EX_DATAERR)
  case GraftError.lossNotFinite, GraftError.gradientNotFinite, GraftError.notFinite, GraftError.modelDamaged,
    GraftError.batchDoesNotFit:
    ExitCode(EX_SOFTWARE)
  case is GraftError, is OperationError: ExitCode(EX_USAGE)
  default: ExitCode(EX_SOFTWARE)
  }
}

/// A progress bar, such as `[#####-----]`.
func bar(_ done: Int, of total: Int, width: Int = 24) -> String {
  let filled = total > 0 ? min(width, width * done / total) : 0
  return "[" + String(repeating: "#", count: filled) + String(repeating: "-", count: width - filled) + "]"
}

/// A number with so many decimals.
func format(_ value: Double, _ decimals: Int = 1) -> String {
  withVaList([Int32(decimals), value]) { arguments in
    var text = [CChar](repeating: 0, count: 400)
    let length = vsnprintf(&text, text.count, "%.*f", arguments)
    return String(decoding: text.prefix(Int(length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

/// `1234567` as `1,234,567`.
func grouped(_ number: Int) -> String {
  var text = ""
  for (index, digit) in String(number).reversed().enumerated() {
    if index > 0, index % 3 == 0 { text.append(",") }
    text.append(digit)
  }
  return String(text.reversed())
}
