import ArgumentParser
import Foundation
import Graft
import GraftData
import GraftOps
import GraftRuntime

/// Says what happens: text for people, or JSON lines for scripts.
struct Reporter: Sendable {
  let isJSON: Bool
  /// A progress bar makes sense only where someone watches.
  var isTerminal: Bool { isatty(STDERR_FILENO) == 1 }

  /// Text for people; on standard error when standard output carries JSON.
  func say(_ text: String) {
    guard !isJSON else { return note(text) }
    print(text)
    // A pipe or a file gets whole blocks otherwise: long work would show nothing until its end.
    fflush(nil)
  }

  /// A remark on standard error.
  func note(_ text: String) { write(text + "\n") }

  /// One JSON object a line; nothing without `--json`.
  func emit(_ event: String, _ fields: [String: JSONValue]) {
    guard isJSON else { return }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    guard let data = try? encoder.encode(JSONValue.object(fields.merging(["event": .string(event)]) { $1 }))
    else { return }
    FileHandle.standardOutput.write(data + Data("\n".utf8))
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

  /// A line that replaces the one before it on a terminal; nothing elsewhere.
  func progress(_ text: String) {
    guard isTerminal else { return }
    write("\r\u{1B}[2K" + text)
  }

  /// Ends the line that ``progress(_:)`` writes.
  func endProgress() {
    guard isTerminal else { return }
    write("\r\u{1B}[2K")
  }

  private func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }

  /// Runs a verb and turns its errors into a message and an exit status.
  func run(_ body: () async throws -> Void) async throws {
    do {
      try await body()
    } catch let error as ExitCode {
      throw error
    } catch let error as ValidationError {
      throw error
    } catch {
      endProgress()
      note("Error: \(error)")
      if case RuntimeError.noDevice(let findings) = error { findings.forEach(emit) }
      emit("error", ["message": .string("\(error)")])
      throw exitCode(for: error)
    }
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
  String(format: "%.\(decimals)f", value)
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
