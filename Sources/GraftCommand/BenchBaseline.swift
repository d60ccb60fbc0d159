import ArgumentParser
import Graft
import GraftSystem

/// An earlier run of `graft bench --json`, to compare with.
struct BenchBaseline {
  /// Name of the device that it was measured on.
  let device: String?
  private var medians: [Set<String>: Double] = [:]

  /// Reads the lines that `graft bench --json` printed.
  ///
  /// - Throws: `ValidationError` when the file is none of it.
  init(path: FilePath) throws {
    let bytes: [UInt8]
    do { bytes = try RegularFile.read(path, atMost: 1 << 28) } catch {
      throw ValidationError("--baseline \(printable(path)) cannot be read: \(error).")
    }
    let lines = try bytes.split(separator: UInt8(ascii: "\n")).map { line in
      guard let fields = try? JSON.value(JSONValue.self, of: Array(line)).objectValue else {
        throw ValidationError("--baseline \(printable(path)) is not what graft bench --json prints.")
      }
      return fields
    }
    device = lines.compactMap { $0["device"]?.stringValue }.first
    for fields in lines {
      if let median = fields["median_seconds"]?.doubleValue, median > 0 { medians[Self.key(fields)] = median }
    }
    guard !medians.isEmpty else {
      throw ValidationError("--baseline \(printable(path)) holds no measurement.")
    }
  }

  /// How many times as fast as then a measurement is; `nil` when it was not measured.
  func speedUp(of fields: [String: JSONValue]) -> Double? {
    guard let median = fields["median_seconds"]?.doubleValue, let then = medians[Self.key(fields)] else {
      return nil
    }
    return then / median
  }

  /// What was measured: the fields that name a measurement, not its results.
  private static func key(_ fields: [String: JSONValue]) -> Set<String> {
    let names = ["case", "pass", "backbone", "image_size", "adapter", "batch_size", "precision"]
    return Set(names.compactMap { name in fields[name].map { "\(name)=\($0)" } })
  }
}
