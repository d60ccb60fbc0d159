import ArgumentParser
import Graft
import GraftCases
import GraftOps
import GraftRuntime
import GraftSystem

struct DoctorCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Check that this device computes rightly; prints a report fit for a bug report.",
    usage: """
      graft doctor [FILTER] [OPTIONS]
      graft doctor --probe [OPTIONS]
      """,
    discussion: """
      EXAMPLES
        graft doctor
        graft doctor --device gpu > report.txt
        graft doctor attention           operations whose name contains this
        graft doctor --probe             a GPU's matrix units, and nothing else

      Names what is installed, compares every operation and every variant of it
      with float64 on small data, and measures the peak. Where no device is
      found the report says so, with status 69; where an operation is wrong it
      is named, with status 70. The first time takes longer: kernels compile.

      --probe builds and runs small products by the matrix units of a GPU. Where
      none that kernels can reach are known it ends with status 69, where they
      are wrong with 70, and where a driver fails it crashes or hangs: graft tune
      therefore runs it apart, and leaves the units off.
      """)

  @Argument(help: "Only operations whose name contains this.")
  var filter: String?
  @Flag(help: "Only build and run small products by a GPU's matrix units.")
  var probe = false
  @OptionGroup var device: DeviceOptions
  @OptionGroup var output: OutputOptions

  /// What changes how Graft or a driver behaves.
  private static let variables = [
    "GRAFT_DEVICE", "GRAFT_MATMUL", "GRAFT_PROGRAM_CACHE", "GRAFT_TUNING", "OCL_ICD_VENDORS",
    "OCL_ICD_FILENAMES", "OPENCL_VENDOR_PATH", "POCL_AFFINITY", "POCL_CACHE_DIR", "POCL_DEVICES",
    "POCL_MAX_PTHREAD_COUNT", "RUSTICL_ENABLE",
  ]

  func validate() throws {
    guard !probe || filter == nil else { throw ValidationError("--probe takes no FILTER.") }
  }

  func run() async throws {
    let reporter = Reporter(isJSON: output.json)
    try await reporter.run {
      guard !probe else {
        return try MatrixUnitProbe(context: device.context(.bf16), reporter: reporter).run()
      }
      describeHost(reporter)
      for device in try Device.all() { for line in device.description { reporter.say("\(line)") } }
      reporter.remarkOnDrivers()
      let context = try device.context()
      let cases = AllCases.checks(on: context.traits).filter { filter.map($0.operation.contains) ?? true }
      guard !cases.isEmpty else { throw ValidationError("No operation's name contains \"\(filter ?? "")\".") }
      reporter.say("Checking \(context.device.index): \(context.traits.name)")
      reporter.say(
        "Compiled kernels: \(context.kernels.cacheFolder.map { "\($0)" as Message } ?? "kept by the driver, or not at all")"
      )
      let wrong = try check(cases, on: context, reporter)
      var fields: [String: JSONValue] = [
        "device": try JSONValue(encoding: context.traits), "graft_version": .string(Graft.version),
        "checked": .integer(cases.count), "wrong": .integer(wrong),
      ]
      if context.traits.quirks.contains(.interpretsKernels) {
        reporter.say("Peak: not measured, this device interprets kernels")
      } else {
        let peak = try PeakMeasurement.fmaPeak(on: context)
        let copy = try PeakMeasurement.copyBandwidth(on: context)
        reporter.say("Peak: \(format(peak)) GFLOP/s multiply-add, \(format(copy)) GB/s copy")
        (fields["gflops"], fields["gbytes_per_second"]) = (.number(peak), .number(copy))
      }
      reporter.emit("done", fields)
      guard wrong == 0 else {
        reporter.say(
          "\(wrong) checks failed: do not trust results of this device. Please report all of the above.")
        throw ExitCode(EX_SOFTWARE)
      }
      reporter.say("All is well.")
    }
  }

  private func describeHost(_ reporter: Reporter) {
    reporter.say(
      """
      graft \(Graft.version), \(Machine.system), \(processorCount) processors, \(formatBytes(Machine.memory))
      """)
    let set = Self.variables.compactMap { name in environment(name).map { "\(name)=\($0)" } }
    if !set.isEmpty { reporter.say("Environment: \(set.joined(separator: " "))") }
  }

  /// Compares each operation with float64; returns how many cases were wrong.
  private func check(_ cases: [OperationCase], on context: Context, _ reporter: Reporter) throws -> Int {
    var wrong = 0
    var done = 0
    for name in cases.map(\.operation).reduce(into: [String](), { if !$0.contains($1) { $0.append($1) } }) {
      let mine = cases.filter { $0.operation == name }
      var failures: [String] = []
      var told = ContinuousClock.now
      for check in mine {
        reporter.progress("\(bar(done, of: cases.count)) \(check)")
        done += 1
        // Kernels compile on first use, which takes minutes with some drivers: say now and then how far it is.
        if ContinuousClock.now - told > .seconds(10) {
          reporter.note("  checked \(done - 1) of \(cases.count), now \(check)")
          told = .now
        }
        do {
          failures += try check.verify(on: context).prefix(1).map { "\(check): \($0)" }
        } catch {
          failures.append("\(check): \(error)")
        }
      }
      reporter.endProgress()
      wrong += failures.count
      reporter.say(
        "  \(failures.isEmpty ? "right" : "WRONG")  \(name), \(mine.count - failures.count) of \(mine.count)")
      for failure in failures { reporter.say("         \(failure)") }
      reporter.emit(
        "check",
        [
          "operation": .string(name), "cases": .integer(mine.count),
          "failures": .array(failures.map { .string($0) }),
        ])
    }
    return wrong
  }
}
