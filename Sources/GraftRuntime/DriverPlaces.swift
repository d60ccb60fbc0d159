#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// A path or a name as the system takes it: bytes that end in a zero.
typealias PathBytes = [CChar]

/// Where the OpenCL loader looks for drivers.
enum DriverPlace: Equatable {
  /// Every .icd file in it.
  case folder(PathBytes)
  /// The first of these .icd files that gives a driver.
  case file([PathBytes])
  case library(PathBytes)

  static let standardFolder = "/etc/OpenCL/vendors"

  /// The places of this process.
  static var current: [DriverPlace] {
    #if os(macOS)
      []  // The driver is the system's own.
    #else
      places(isOCLICD: isOCLICD) { bytes(of: $0) }
    #endif
  }

  #if !os(macOS)
    /// The loader is ocl-icd: it has a function that others have not.
    private static var isOCLICD: Bool {
      guard let program = dlopen(nil, RTLD_LAZY) else { return false }
      defer { dlclose(program) }
      return driverFunction("clGetICDLoaderInfoOCLICD", in: program) != nil
    }
  #endif

  /// The places under an environment.
  ///
  /// - Parameters:
  ///   - isOCLICD: the loader is ocl-icd, the usual one on Linux (see `man libOpenCL`); else it is Khronos' own.
  ///   - variable: a variable of the environment.
  static func places(isOCLICD: Bool, _ variable: (String) -> PathBytes?) -> [DriverPlace] {
    func value(_ name: String) -> PathBytes? { variable(name).flatMap { $0.count > 1 ? $0 : nil } }
    let standard = PathBytes(standardFolder.utf8CString)
    let asked = value("OCL_ICD_VENDORS")
    guard isOCLICD else {
      let libraries = value("OCL_ICD_FILENAMES")?.dropLast().split(
        separator: CChar(bitPattern: UInt8(ascii: ":")))
      return (libraries ?? []).map { .library($0 + [0]) } + [.folder(asked ?? standard)]
    }
    let folder = value("OPENCL_VENDOR_PATH") ?? standard
    guard let asked else { return [.folder(folder)] }
    if isFolder(asked) { return [.folder(asked)] }
    guard isICD(asked) else { return [.library(asked)] }
    return [.file(asked.contains(slash) ? [asked] : [folder.appending(asked), asked])]
  }

  /// The loader passes over a file that is called .icd and nothing more.
  static func isICD(_ name: PathBytes) -> Bool {
    name.count > 5 && name.suffix(5).elementsEqual(".icd".utf8CString)
  }

  private static func isFolder(_ path: PathBytes) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }
}

let slash = CChar(bitPattern: UInt8(ascii: "/"))

extension PathBytes {
  func appending(_ name: PathBytes) -> PathBytes { dropLast() + [slash] + name }
  /// For people: what is no UTF-8 is replaced.
  var text: String { String(decoding: dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self) }
}

/// A variable of the environment as it came.
func bytes(of variable: String) -> PathBytes? { getenv(variable).map { bytes(at: $0) } }

/// A copy of C's text, with its zero.
func bytes(at text: UnsafePointer<CChar>) -> PathBytes {
  PathBytes(UnsafeBufferPointer(start: text, count: strlen(text) + 1))
}

/// A function that a driver, or the loader, hands out by name.
func driverFunction(_ name: String, in library: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
  typealias Lookup = @convention(c) (UnsafePointer<CChar>) -> UnsafeMutableRawPointer?
  let lookup = dlsym(library, "clGetExtensionFunctionAddress").map { unsafeBitCast($0, to: Lookup.self) }
  return lookup?(name) ?? dlsym(library, name)
}

/// The system's words for an error.
func systemWords(_ code: Int32) -> String { String(cString: strerror(code)) }
