import GraftSystem

/// A driver that is registered on this machine and gives no device to work with, and why.
///
/// A GPU that is not listed is mostly one of these: its library is missing, or lacks another, or finds no hardware that
/// this user may open.
public struct DriverFinding: Equatable, Encodable, Sendable {
  /// Where the loader found the driver, or looked for it: an .icd file, a folder of them or a library.
  public var file: String?
  /// The library that the .icd file names.
  public var library: String?
  /// The driver's own name, where it came so far.
  public var platform: String?
  /// What stands in the way, with the system's or the driver's own words.
  public var reason: String
  /// What to do.
  public var advice: String
}

extension DriverFinding: CustomStringConvertible {
  /// One line for people.
  public var description: String {
    // Names come from drivers and files: none of them steers a terminal.
    let names = [platform, file, library].compactMap { $0.map { printable($0) } }
    let subject = names.count > 1 ? "\(names[0]) (\(names.dropFirst().joined(separator: ", ")))" : names.first
    return "\(subject ?? "OpenCL"): \(printable(reason, limit: 1000)). \(printable(advice, limit: 1000))"
  }
}
