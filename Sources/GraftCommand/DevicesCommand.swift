import ArgumentParser
import Graft
import GraftRuntime

struct DevicesCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "devices", abstract: "List the OpenCL devices that are here, with what they can do.")

  @OptionGroup var output: OutputOptions

  func run() async throws {
    let reporter = Reporter(isJSON: output.json)
    try await reporter.run {
      let devices = try Device.all()
      for device in devices {
        let traits = device.traits
        reporter.say("\(device.index): \(traits.name)")
        reporter.say(
          "   \(traits.kind.rawValue), \(traits.platform), \(traits.version), driver \(traits.driverVersion)")
        reporter.say(
          """
             \(traits.computeUnits) compute units; memory \(formatBytes(traits.globalMemory)), \
          \(formatBytes(traits.maxAllocation)) in one piece, \(formatBytes(traits.localMemory)) local; work-groups up \
          to \(traits.maxWorkGroupSize)
          """)
        reporter.say(
          """
             fp16 arithmetic: \(traits.hasHalf ? "yes" : "no"); subgroups: \(traits.hasSubgroups ? "yes" : "no"); quirks: \
          \(traits.quirks.isEmpty ? "none known" : traits.quirks.map(\.rawValue).joined(separator: ", "))
          """)
        var fields = try JSONValue(encoding: traits).objectValue ?? [:]
        fields["index"] = .integer(device.index)
        reporter.emit("device", fields)
      }
      reporter.emit("done", ["devices": .integer(devices.count)])
    }
  }
}
