import Foundation

/// Memory of this process, as Linux counts it; 0 elsewhere.
enum ProcessMemory {
  static var residentBytes: Int { bytes("VmRSS:") }
  /// The most that it has ever been.
  static var peakBytes: Int { bytes("VmHWM:") }

  private static func bytes(_ name: String) -> Int {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix(name) }
    let kibibytes = line?.split { $0 == " " || $0 == "\t" }.dropFirst().first
    return (kibibytes.flatMap { Int($0) } ?? 0) << 10
  }
}
