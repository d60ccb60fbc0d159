import ArgumentParser
import GraftOps
import GraftRuntime
import GraftSystem

/// Whether a GPU's matrix units can be tried at all: a driver may crash or hang on its way to them.
struct MatrixUnitProbe {
  let context: Context
  let reporter: Reporter

  /// Compilers need seconds for a kernel, and some minutes for all.
  private static let limit = Duration.seconds(300)

  /// Builds and runs them in each way that a tuning may choose; the last line says which was too much for a driver.
  func run() throws {
    let traits = context.traits
    guard let unit = traits.matrixUnit else {
      reporter.say("Matrix units that kernels can reach: none known on \(traits.name)")
      reporter.emit("done", ["right": .integer(0), "checked": .integer(0)])
      throw ExitCode(EX_UNAVAILABLE)
    }
    reporter.say("Matrix units of \(context.device.index): \(traits.name)")
    let shapes = MatmulUnits.candidates(unit)
    var right = 0
    for shape in shapes {
      reporter.note("  trying \(shape)")
      let fault = MatrixUnits.fault(shape, unit, on: context)
      if fault == nil { right += 1 }
      reporter.say("  \(fault == nil ? "right" : "WRONG")  \(shape)")
      if let fault { reporter.say(Message(lines: "         " + fault)) }
      reporter.emit(
        "check",
        [
          "operation": .string("matrix units"), "shape": .string("\(shape)"),
          "fault": fault.map { .string($0) } ?? .null,
        ])
    }
    reporter.emit("done", ["right": .integer(right), "checked": .integer(shapes.count)])
    guard right > 0 else { throw ExitCode(EX_SOFTWARE) }
  }

  /// Runs it in a process of its own, and leaves the units off here where that does not end well.
  static func runApart(_ context: Context, _ reporter: Reporter) {
    guard context.traits.matrixUnit != nil, let name = CommandLine.unsafeArgv[0] else { return }
    reporter.progress("Trying the matrix units")
    let end = ChildProcess.run(
      FilePath(platformString: name), ["doctor", "--probe", "--device", "\(context.device.index)"],
      limit: limit)
    reporter.endProgress()
    guard end != .exited(0), !StopSignal.isWanted else { return }
    MatrixUnits.reject(on: context, fault: "\(end) in graft doctor --probe")
  }
}
