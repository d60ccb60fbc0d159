import COpenCL
import GraftSystem
import Synchronization

/// An OpenCL device that is present on this machine.
public struct Device: Sendable {
  /// What it can do.
  public let traits: DeviceTraits
  /// Position in ``all()``, which `--device` accepts.
  public let index: Int
  let handle: Handle

  /// This device under other traits: tests try on it what kernels do on another.
  package func changing(_ change: (inout DeviceTraits) -> Void) -> Device {
    var traits = traits
    change(&traits)
    return Device(traits: traits, index: index, handle: handle)
  }

  /// All devices of all platforms, in the order the drivers list them.
  ///
  /// - Throws: ``RuntimeError/noDevice(_:)`` when there is none, with what was found instead.
  public static func all() throws -> [Device] {
    try driverSetUp.withLock { _ in try list() }
  }

  private static func list() throws -> [Device] {
    var devices: [Device] = []
    for platform in (try? platforms()) ?? [] {
      for id in (try? deviceIdentifiers(of: platform)) ?? [] {
        // A device that cannot describe itself is left out: the others still work.
        guard let traits = try? DeviceTraits(of: id, on: platform) else { continue }
        devices.append(
          Device(traits: traits, index: devices.count, handle: Handle(owning: id, .device)))
      }
    }
    guard !devices.isEmpty else { throw RuntimeError.noDevice(DriverFinding.search()) }
    return devices
  }

  /// The device that a user asked for.
  ///
  /// - Parameter selector: an index, a type (`cpu`, `gpu`, `accelerator`) or part of the name or platform,
  ///   regardless of case; `nil` takes `GRAFT_DEVICE` from the environment, and without it the first GPU, or
  ///   else the first device.
  /// - Throws: ``RuntimeError/unknownDevice(selector:available:)`` naming the devices that are here.
  public static func select(_ selector: String? = nil) throws -> Device {
    try select(selector ?? environment("GRAFT_DEVICE"), among: all())
  }

  static func select(_ asked: String?, among devices: [Device]) throws -> Device {
    guard let asked, !asked.isEmpty else {
      guard let first = devices.first(where: { $0.traits.kind == .gpu }) ?? devices.first else {
        throw RuntimeError.noDevice([])
      }
      return first
    }
    let wanted = asked.lowercased()
    // A number is an index and nothing else: 3 does not mean the first name with a 3 in it.
    let match =
      if let index = Int(asked) {
        devices.first { $0.index == index }
      } else {
        devices.first { $0.traits.kind.rawValue == wanted }
          ?? devices.first { $0.traits.name.lowercased().contains(wanted) }
          ?? devices.first { $0.traits.platform.lowercased().contains(wanted) }
      }
    guard let match else {
      throw RuntimeError.unknownDevice(
        selector: asked, available: devices.map { "\($0.index): \($0.traits.name) (\($0.traits.platform))" })
    }
    return match
  }

  static func platforms() throws -> [cl_platform_id] {
    do {
      return try list { count, items, found in
        try openCL("clGetPlatformIDs") { $0 = clGetPlatformIDs(count, items, found) }
      }
    } catch RuntimeError.openCL(_, .noPlatform) {
      return []  // The loader's word for "no driver is registered".
    }
  }

  static func deviceIdentifiers(of platform: cl_platform_id) throws -> [cl_device_id] {
    let every = cl_device_type(0xFFFF_FFFF)  // CL_DEVICE_TYPE_ALL
    return try list { count, items, found in
      try openCL("clGetDeviceIDs") { $0 = clGetDeviceIDs(platform, every, count, items, found) }
    }
  }

  /// What the driver lists when asked first how many there are.
  static func list(
    _ ask: (cl_uint, UnsafeMutablePointer<OpaquePointer?>?, UnsafeMutablePointer<cl_uint>?) throws -> Void
  ) throws -> [OpaquePointer] {
    var count: cl_uint = 0
    try ask(0, nil, &count)
    guard count > 0 else { return [] }
    var items = [OpaquePointer?](repeating: nil, count: Int(count))
    try ask(count, &items, nil)
    return items.compactMap { $0 }
  }
}

/// Held while drivers are asked for devices and contexts.
///
/// PoCL 3.1 sets itself up on first use without a lock: two threads that ask at the same time crash it (seen with
/// Debian 12's packages, in strlen).
let driverSetUp = Mutex(())
