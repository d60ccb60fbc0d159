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
        for line in device.description { reporter.say("\(line)") }
        var fields = try JSONValue(encoding: device.traits).objectValue ?? [:]
        fields["index"] = .integer(device.index)
        fields["tuning"] = .string("\(Tuning.load(for: device.traits).origin)")
        reporter.emit("device", fields)
      }
      reporter.remarkOnDrivers()
      reporter.emit("done", ["devices": .integer(devices.count)])
    }
  }
}

extension Device {
  /// What the device can do, in lines for people.
  var description: [String] {
    [
      "\(index): \(traits.name)",
      "   \(traits.kind.rawValue), \(traits.platform), \(traits.version), driver \(traits.driverVersion)",
      """
         \(traits.computeUnits) compute units; memory \(formatBytes(traits.globalMemory)), \
      \(formatBytes(traits.maxAllocation)) in one piece, \(formatBytes(traits.localMemory)) local; work-groups up \
      to \(traits.maxWorkGroupSize)
      """,
      """
         fp16 arithmetic: \(traits.hasHalf ? "yes" : "no"); subgroups: \(traits.hasSubgroups ? "yes" : "no"); bf16 dot \
      product: \(traits.hasDotProduct ? "yes" : "no"); matrix units: \(units); quirks: \
      \(traits.quirks.isEmpty ? "none known" : traits.quirks.map(\.rawValue).joined(separator: ", "))
      """,
      "   tuning: \(Tuning.load(for: traits).origin)",
    ]
  }

  /// They are off until tuned, and then only where they were faster.
  private var units: String {
    guard traits.matrixUnit != nil else { return "none known" }
    return Tuning.load(for: traits).tuning.matmul.units == nil ? "off" : "for bf16"
  }
}
