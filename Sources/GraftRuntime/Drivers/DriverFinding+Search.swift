import COpenCL
import GraftSystem

extension DriverFinding {
  /// What is registered as a driver and gives no device, for whoever misses one.
  ///
  /// Follows the OpenCL loader step by step: where it looks, what it finds there, whether the library opens, what
  /// platforms that lists, and what devices they do.
  public static func all() -> [DriverFinding] { all(in: DriverPlace.current) }

  static func all(in places: [DriverPlace]) -> [DriverFinding] {
    driverSetUp.withLock { _ in search(places) }
  }

  /// The same for who holds the lock already.
  static func search(_ places: [DriverPlace] = DriverPlace.current) -> [DriverFinding] {
    var listed: [cl_platform_id] = []
    var own: [DriverFinding] = []
    do {
      listed = try Device.platforms()
    } catch {
      let reason = "the loader lists no platform (\(statusWords(error)))"
      own = [DriverFinding(reason: reason, advice: "Install the OpenCL loader again.")]
    }
    var search = DriverSearch(listed: Set(listed))
    places.forEach { search.look(in: $0) }
    return own + search.findings + listed.flatMap { findings(on: $0, from: search.origins[$0]) }
  }

  /// Why a platform, or a device of it, is of no use.
  private static func findings(on platform: cl_platform_id, from origin: DriverSearch.Origin?)
    -> [DriverFinding]
  {
    let name = (try? DeviceTraits.platformName(platform)) ?? "a platform without a name"
    func finding(_ reason: String, _ advice: String) -> DriverFinding {
      DriverFinding(
        file: origin?.file, library: origin?.library, platform: name, reason: reason, advice: advice)
    }
    let cacheFault = name.contains("Portable Computing Language") ? PoCLCache.fault() : nil
    let devices: [cl_device_id]
    do {
      devices = try Device.deviceIdentifiers(of: platform)
      if devices.isEmpty { throw RuntimeError.openCL(function: "clGetDeviceIDs", status: .noDevice) }
    } catch {
      let reason = "it lists no device (\(statusWords(error)))"
      if let cacheFault { return [finding("\(reason): \(cacheFault)", PoCLCache.advice)] }
      return [finding(reason, advice(for: name))]
    }
    if let cacheFault { return [finding("no kernel compiles on it: \(cacheFault)", PoCLCache.advice)] }
    return devices.compactMap { device in
      do {
        _ = try DeviceTraits(of: device, on: platform)
        return nil
      } catch {
        return finding(
          "one of its devices cannot be used (\(statusWords(error)))",
          "Update this driver, or install it again.")
      }
    }
  }

  private static func advice(for platform: String) -> String {
    if platform.contains("Portable Computing Language") {
      if let asked = environment("POCL_DEVICES") {
        return
          "POCL_DEVICES is \"\(asked)\", which may leave it without: unset it, or say POCL_DEVICES=basic."
      }
      return "Set POCL_DEBUG=all to read PoCL's own words."
    }
    if platform.lowercased().contains("rusticl") {
      return """
        It lists only what RUSTICL_ENABLE names: set RUSTICL_ENABLE=radeonsi, iris or nouveau for a GPU of AMD, Intel \
        or NVIDIA, or llvmpipe for the processor.
        """
    }
    return hardwareAdvice
  }

  static let hardwareAdvice = """
    If the hardware is in this machine, its kernel driver has to be loaded, and you must be allowed to open it: see ls \
    -l /dev/dri /dev/kfd /dev/nvidia*; mostly the groups render and video may. A container must be given these files.
    """
}

/// A driver's bare status: what usually helps against it does not help here.
func statusWords(_ error: any Error) -> String {
  if case RuntimeError.openCL(let function, let status) = error {
    "\(function): \(status)"
  } else {
    "\(error)"
  }
}
