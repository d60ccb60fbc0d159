package import GraftSystem

/// What `graft tune` remembers of a device: a small JSON file for each device and driver.
///
/// The folder is `GRAFT_TUNING`, or `graft/tuning` among the user's caches; `GRAFT_TUNING=off` keeps to the defaults.
package struct TuningFile: Codable, Equatable, Sendable {
  /// Changes with the meaning of a field of ``Tuning``.
  ///
  /// What a file lacks is as the device's default has it, and what it has besides is nothing; 1 lacks the tiles of
  /// GPUs.
  package static let currentFormat = 2
  /// A file holds less than 1 KiB.
  private static let mostBytes = 1 << 16

  package var format = currentFormat
  /// The device's identity: the name of the file is made of it, and not unique.
  package var device: String
  /// When it was measured, such as `2026-11-25T12:00:00Z`.
  package var date: String
  package var tuning: Tuning

  package init(_ tuning: Tuning, for traits: DeviceTraits, date: String = Timestamp.now) {
    self.tuning = tuning
    device = traits.identity
    self.date = date
  }

  /// Where tunings are kept; `nil` when the environment switches them off.
  package static var folder: FilePath? {
    if environment("GRAFT_TUNING") == "off" { return nil }
    return environmentPath("GRAFT_TUNING") ?? userCaches.map { $0 / "graft/tuning" }
  }

  /// Path of the device's file: a readable name, and a number that tells apart what reads the same.
  package static func path(for traits: DeviceTraits, in folder: FilePath) -> FilePath {
    let words = traits.identity.lowercased().split { !($0.isASCII && ($0.isLetter || $0.isNumber)) }
    let name = words.joined(separator: "-").prefix(100)
    let number = String(fnv1a(Array(traits.identity.utf8)), radix: 16)
    return folder / "\(name)-\(number).json"
  }

  /// The file's text.
  package func text() throws -> String {
    try JSON.text(of: self, .pretty, snakeCase: true) + "\n"
  }
}

extension Tuning {
  /// Where a context's tuning came from.
  package enum Origin: Equatable, Sendable, CustomStringConvertible {
    /// There is no file, or none is wanted.
    case standard
    case file(path: FilePath, date: String)
    /// The file is of no use, and the defaults are in its place.
    case ignored(path: FilePath, reason: String)
    /// The caller chose.
    case given

    /// One line for people.
    package var description: String {
      switch self {
      case .standard: "default"
      case .file(let path, let date): "\(printable(path)), \(date)"
      case .ignored(let path, let reason): "default; \(printable(path)) is ignored: \(reason)"
      case .given: "given by the program"
      }
    }
  }

  /// The tuning to use on a device: what was measured, else the default.
  ///
  /// Nothing that the file holds can make it fail.
  package static func load(
    for traits: DeviceTraits, from folder: FilePath? = TuningFile.folder
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
  fileprivate static func read(_ path: FilePath, for traits: DeviceTraits) -> Result<TuningFile, Fault>? {
    do {
      let bytes = try RegularFile.read(path, atMost: mostBytes)
      struct Header: Decodable { let format: Int }
      guard let header = try? JSON.value(Header.self, of: bytes, snakeCase: true) else {
        throw Fault(reason: "it is no tuning")
      }
      guard (1...currentFormat).contains(header.format) else {
        throw Fault(reason: "its format is \(header.format), this version reads 1 to \(currentFormat)")
      }
      guard var file = try? read(bytes, over: TuningFile(.default(for: traits), for: traits)) else {
        throw Fault(reason: "a value is missing or of another kind")
      }
      guard file.device == traits.identity else { throw Fault(reason: "it is of another device or driver") }
      // It is printed: written anew, so that nothing behind it steers a terminal.
      guard let date = Timestamp.normalized(file.date) else { throw Fault(reason: "it has no date") }
      file.date = date
      if let fault = file.tuning.fault(on: traits) { throw Fault(reason: fault) }
      return .success(file)
    } catch FileFault.missing {
      return nil
    } catch let fault as Fault {
      return .failure(fault)
    } catch {
      return .failure(Fault(reason: "\(error)"))
    }
  }
}

// MARK: Files that lack something

extension TuningFile {
  /// The file whose text is `bytes`, with what its tuning lacks taken from another.
  private static func read(_ bytes: [UInt8], over standard: TuningFile) throws -> TuningFile {
    struct Text: Codable {
      var format: Int
      var device: String
      var date: String
      var tuning: Tree
    }
    var text = try JSON.value(Text.self, of: bytes, snakeCase: true)
    let base = try JSON.value(Tree.self, of: try JSON.bytes(of: standard.tuning, snakeCase: true))
    text.tuning = text.tuning.over(base)
    return try JSON.value(TuningFile.self, of: try JSON.bytes(of: text, snakeCase: true), snakeCase: true)
  }

  /// JSON whose fields nobody has named.
  private indirect enum Tree: Codable {
    case fields([String: Tree])
    case number(Int)
    case text(String)

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let number = try? container.decode(Int.self) {
        self = .number(number)
      } else if let text = try? container.decode(String.self) {
        self = .text(text)
      } else {
        self = .fields(try container.decode([String: Tree].self))
      }
    }

    func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      switch self {
      case .fields(let fields): try container.encode(fields)
      case .number(let number): try container.encode(number)
      case .text(let text): try container.encode(text)
      }
    }

    /// These fields, and what else another has.
    func over(_ other: Tree) -> Tree {
      guard case .fields(let mine) = self, case .fields(let others) = other else { return self }
      return .fields(others.merging(mine) { $1.over($0) })
    }
  }
}
