import GraftSystem

/// Where the OpenCL loader looks for drivers.
enum DriverPlace: Equatable {
  /// Every .icd file in it.
  case folder(FilePath)
  /// The first of these .icd files that gives a driver.
  case file([FilePath])
  case library(FilePath)

  static let standardFolder: FilePath = "/etc/OpenCL/vendors"

  /// The places of this process.
  static var current: [DriverPlace] {
    #if os(macOS)
      []  // The driver is the system's own.
    #else
      places(isOCLICD: isOCLICD, environmentPath)
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
  ///   - variable: a variable of the environment; nil where it is empty.
  static func places(isOCLICD: Bool, _ variable: (String) -> FilePath?) -> [DriverPlace] {
    let asked = variable("OCL_ICD_VENDORS")
    guard isOCLICD else {
      let libraries = variable("OCL_ICD_FILENAMES")?.escapedText.split(separator: ":") ?? []
      return libraries.compactMap { FilePath(escapedText: String($0)).map { .library($0) } }
        + [.folder(asked ?? standardFolder)]
    }
    let folder = variable("OPENCL_VENDOR_PATH") ?? standardFolder
    guard let asked else { return [.folder(folder)] }
    if asked.isFolder { return [.folder(asked)] }
    guard isICD(asked) else { return [.library(asked)] }
    return [.file(asked.components.count > 1 || asked.isAbsolute ? [asked] : [folder.pushing(asked), asked])]
  }

  /// The loader passes over a file that is called .icd and nothing more.
  static func isICD(_ path: FilePath) -> Bool { path.lastComponent?.extension == "icd" }
}

/// A function that a driver, or the loader, hands out by name.
func driverFunction(_ name: String, in library: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
  typealias Lookup = @convention(c) (UnsafePointer<CChar>) -> UnsafeMutableRawPointer?
  let lookup = dlsym(library, "clGetExtensionFunctionAddress").map { unsafeBitCast($0, to: Lookup.self) }
  return lookup?(name) ?? dlsym(library, name)
}
