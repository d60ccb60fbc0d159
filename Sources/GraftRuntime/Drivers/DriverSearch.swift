import COpenCL
import GraftSystem

/// Looks for drivers as the OpenCL loader does.
struct DriverSearch {
  /// Where a driver was found.
  struct Origin {
    var file: String?
    var library: String?
  }

  /// The platforms that the loader lists.
  let listed: Set<cl_platform_id>
  private(set) var findings: [DriverFinding] = []
  private(set) var origins: [cl_platform_id: Origin] = [:]

  init(listed: Set<cl_platform_id>) { self.listed = listed }

  mutating func look(in place: DriverPlace) {
    switch place {
    case .folder(let folder): look(inFolder: folder)
    case .library(let library):
      let origin = Origin(file: printable(library))
      if let fault = load(library, origin) {
        let reason =
          fault.isMissing ? "neither a folder nor an .icd file; as a library \(fault.reason)" : fault.reason
        add(origin, reason, Self.placeAdvice)
      }
    case .file(let files):
      // The loader goes on to the next where one gives nothing.
      var faults: [DriverFinding] = []
      for file in files {
        guard var fault = examine(file) else { return }
        fault.advice = Self.placeAdvice
        faults.append(fault)
      }
      findings += faults
    }
  }

  private mutating func look(inFolder folder: FilePath) {
    let origin = Origin(file: printable(folder))
    let names: [FilePath.Component]
    do { names = try Folder.names(in: folder) } catch {
      return add(origin, "this folder cannot be read: \(error)", Self.placeAdvice)
    }
    let files = names.map { folder / $0 }.filter { DriverPlace.isICD($0) }
    guard !files.isEmpty else { return add(origin, "no .icd file is in this folder", Self.placeAdvice) }
    // A folder holds a handful; the order is for people and tests.
    for file in files.sorted(by: { $0.bytes.lexicographicallyPrecedes($1.bytes) }) {
      if let fault = examine(file) { findings.append(fault) }
    }
  }

  /// What is wrong with an .icd file.
  private mutating func examine(_ file: FilePath) -> DriverFinding? {
    switch Self.firstLine(of: file) {
    case .failure(let fault):
      return DriverFinding(file: printable(file), reason: fault.reason, advice: fault.advice)
    case .success(let library):
      let origin = Origin(file: printable(file), library: printable(library))
      return load(library, origin).map {
        DriverFinding(file: origin.file, library: origin.library, reason: $0.reason, advice: $0.advice)
      }
    }
  }

  private mutating func add(_ origin: Origin, _ reason: String, _ advice: String) {
    findings.append(DriverFinding(file: origin.file, library: origin.library, reason: reason, advice: advice))
  }

  struct Fault: Error {
    var reason: String
    var advice = "Install this driver again, or remove the file."
    /// There is no such library.
    var isMissing = false
  }

  /// The library that an .icd file names: its first line, blanks and all, as the loader takes it.
  static func firstLine(of file: FilePath) -> Result<FilePath, Fault> {
    let bytes: [UInt8]
    do { bytes = try RegularFile.read(file, atMost: 1 << 20) } catch {
      return .failure(Fault(reason: "it cannot be read: \(error)"))
    }
    let line = bytes.prefix { $0 != 0 && $0 != UInt8(ascii: "\n") }
    guard !line.isEmpty else { return .failure(Fault(reason: "its first line names no library")) }
    guard line.count < PATH_MAX, let library = FilePath(escapedText: escaped(Array(line))) else {
      return .failure(Fault(reason: "its first line is too long for a name"))
    }
    return .success(library)
  }

  /// Opens a library as the loader did before, and notes what platforms come from it.
  private mutating func load(_ library: FilePath, _ origin: Origin) -> Fault? {
    guard let handle = library.withPlatformString({ dlopen($0, RTLD_LAZY | RTLD_LOCAL) }) else {
      let words = dlerror().map { String(cString: $0) } ?? "no reason is given"
      return Fault(reason: "it cannot be opened: \(words)", isMissing: true)
    }
    // The loader keeps its own reference to every driver.
    defer { dlclose(handle) }
    typealias List =
      @convention(c) (
        cl_uint, UnsafeMutablePointer<cl_platform_id?>?, UnsafeMutablePointer<cl_uint>?
      ) -> cl_int
    let name = "clIcdGetPlatformIDsKHR"
    guard let symbol = driverFunction(name, in: handle) else {
      return Fault(reason: "the library is no OpenCL driver: it has no \(name)")
    }
    let list = unsafeBitCast(symbol, to: List.self)
    let platforms: [cl_platform_id]
    do {
      platforms = try Device.list { count, items, found in
        try openCL("clIcdGetPlatformIDsKHR") { $0 = list(count, items, found) }
      }
      if platforms.isEmpty {
        throw RuntimeError.openCL(function: "clIcdGetPlatformIDsKHR", status: .noPlatform)
      }
    } catch {
      return Fault(
        reason: "the driver lists no platform (\(statusWords(error)))", advice: DriverFinding.hardwareAdvice)
    }
    guard platforms.contains(where: listed.contains) else {
      return Fault(
        reason: "the loader leaves its platforms out",
        advice: "Set OCL_ICD_ASSUME_ICD_EXTENSION=1, or update it.")
    }
    for platform in platforms where origins[platform] == nil { origins[platform] = origin }
    return nil
  }

  /// For a place that holds no driver at all.
  private static var placeAdvice: String {
    let set = ["OCL_ICD_VENDORS", "OCL_ICD_FILENAMES", "OPENCL_VENDOR_PATH"].filter {
      environmentPath($0) != nil
    }
    guard let first = set.first else { return "No driver is installed." }
    return
      "Unset \(set.count > 1 ? set.joined(separator: " and ") : first) to use the drivers in \(printable(DriverPlace.standardFolder))."
  }
}
