package import Foundation

/// What `graft tune` remembers of a device: a small JSON file for each device and driver.
///
/// The folder is `GRAFT_TUNING`, or `graft/tuning` among the user's caches; `GRAFT_TUNING=off` keeps to the defaults.
package struct TuningFile: Codable, Equatable, Sendable {
  /// Changes with the fields of ``Tuning``, or with what they mean.
  package static let currentFormat = 1
  /// A file holds less than 1 KiB.
  private static let mostBytes = 1 << 16

  package var format = currentFormat
  /// The device's identity: the name of the file is made of it, and not unique.
  package var device: String
  /// When it was measured, such as `2026-11-25T12:00:00Z`.
  package var date: String
  package var tuning: Tuning

  package init(_ tuning: Tuning, for traits: DeviceTraits, date: Date = .now) {
    self.tuning = tuning
    device = traits.identity
    self.date = date.ISO8601Format()
  }

  /// Where tunings are kept; `nil` when the environment switches them off.
  package static var folder: URL? {
    switch environment("GRAFT_TUNING") {
    case "off": nil
    case let folder? where !folder.isEmpty: URL(fileURLWithPath: folder, isDirectory: true)
    default:
      FileManager.default.urls(for: .cachesDirectory, in: .userDomainMask).first?
        .appendingPathComponent("graft/tuning", isDirectory: true)
    }
  }

  /// Path of the device's file: a readable name, and a number that tells apart what reads the same.
  package static func path(for traits: DeviceTraits, in folder: URL) -> String {
    let words = traits.identity.lowercased().split { !($0.isASCII && ($0.isLetter || $0.isNumber)) }
    let name = words.joined(separator: "-").prefix(100)
    let number = String(fnv1a(Data(traits.identity.utf8)), radix: 16)
    return folder.appendingPathComponent("\(name)-\(number).json").path
  }

  /// The file's text.
  package func text() throws -> String {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(self), as: UTF8.self) + "\n"
  }
}

extension Tuning {
  /// Where a context's tuning came from.
  package enum Origin: Equatable, Sendable, CustomStringConvertible {
    /// There is no file, or none is wanted.
    case standard
    case file(path: String, date: String)
    /// The file is of no use, and the defaults are in its place.
    case ignored(path: String, reason: String)
    /// The caller chose.
    case given

    /// One line for people.
    package var description: String {
      switch self {
      case .standard: "default"
      case .file(let path, let date): "\(path), \(date)"
      case .ignored(let path, let reason): "default; \(path) is ignored: \(reason)"
      case .given: "given by the program"
      }
    }
  }

  /// The tuning to use on a device: what was measured, else the default.
  ///
  /// Nothing that the file holds can make it fail.
  package static func load(
    for traits: DeviceTraits, from folder: URL? = TuningFile.folder
  ) -> (tuning: Tuning, origin: Origin) {
    guard let folder else { return (.default(for: traits), .standard) }
    let path = TuningFile.path(for: traits, in: folder)
    switch TuningFile.read(path, for: traits) {
    case nil: return (.default(for: traits), .standard)
    case .success(let file)?: return (file.tuning, .file(path: path, date: file.date))
    case .failure(let fault)?: return (.default(for: traits), .ignored(path: path, reason: fault.reason))
    }
  }
}

extension TuningFile {
  fileprivate struct Fault: Error { let reason: String }

  /// The file, or why it cannot be used; `nil` where there is none.
  fileprivate static func read(_ path: String, for traits: DeviceTraits) -> Result<TuningFile, Fault>? {
    do {
      guard let bytes = try bytes(of: path) else { return nil }
      let decoder = JSONDecoder()
      decoder.keyDecodingStrategy = .convertFromSnakeCase
      struct Header: Decodable { let format: Int }
      guard let header = try? decoder.decode(Header.self, from: bytes) else {
        throw Fault(reason: "it is no tuning")
      }
      guard header.format == currentFormat else {
        throw Fault(reason: "its format is \(header.format), this version reads \(currentFormat)")
      }
      guard var file = try? decoder.decode(TuningFile.self, from: bytes) else {
        throw Fault(reason: "a value is missing or of another kind")
      }
      guard file.device == traits.identity else { throw Fault(reason: "it is of another device or driver") }
      // It is printed: written anew, so that nothing behind it steers a terminal.
      guard let date = try? Date(file.date, strategy: .iso8601) else { throw Fault(reason: "it has no date") }
      file.date = date.ISO8601Format()
      if let fault = file.tuning.fault(on: traits) { throw Fault(reason: fault) }
      return .success(file)
    } catch let fault as Fault {
      return .failure(fault)
    } catch {
      return .failure(Fault(reason: "it cannot be read"))
    }
  }

  /// The bytes of a small regular file; `nil` where there is none.
  private static func bytes(of path: String) throws -> Data? {
    // Not blocking: opening a pipe must not wait for its writer.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      if errno == ENOENT || errno == ENOTDIR { return nil }
      throw Fault(reason: String(cString: strerror(errno)))
    }
    let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      throw Fault(reason: "it is not a regular file")
    }
    guard status.st_size <= mostBytes else { throw Fault(reason: "it is too large") }
    return try file.read(upToCount: mostBytes) ?? Data()
  }
}
