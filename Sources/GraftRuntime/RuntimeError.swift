import GraftSystem

/// What can go wrong below the operations: devices, memory, programs and OpenCL itself.
///
/// Every case says what was asked, what stood in the way and what to try.
public enum RuntimeError: Error, Equatable, Sendable {
  /// No OpenCL platform is installed, or none offers a device: where drivers were looked for, and why each gives none.
  case noDevice([DriverFinding])
  /// No device matches the selector; `available` names those that are here.
  case unknownDevice(selector: String, available: [String])
  /// A buffer did not fit: bytes asked, bytes in use, and the limit that applied.
  case outOfMemory(requested: Int, inUse: Int, limit: Int)
  /// A single buffer is larger than the device allows.
  case allocationTooLarge(requested: Int, limit: Int)
  /// A program did not compile; `log` is the compiler's whole output.
  case buildFailed(program: String, options: String, device: String, log: String)
  /// There is no embedded kernel source, or no kernel in it, of that name.
  case unknownKernel(String)
  /// An OpenCL call failed.
  case openCL(function: String, status: OpenCLStatus)
  /// Work that was queued already has failed, or the device is gone: nothing in its memory can be trusted, and the
  /// ``Context`` refuses all further work.
  case deviceLost(function: String, status: OpenCLStatus)
}

extension RuntimeError {
  private static let installation = """
    Graft runs through an OpenCL driver (an "ICD", registered in /etc/OpenCL/vendors). Install one for your hardware: \
    the GPU vendor's driver (intel-opencl-icd, rocm-opencl-icd, nvidia-opencl-icd, mesa-opencl-icd), or PoCL for any \
    CPU: sudo apt-get install pocl-opencl-icd (macOS: brew install pocl).
    """

  /// The device is gone.
  package var isLoss: Bool {
    if case .deviceLost = self { true } else { false }
  }
}

extension RuntimeError: CustomStringConvertible {
  /// What happened and what to try.
  public var description: String {
    switch self {
    case .noDevice(let findings):
      // Who has a platform needs no other driver, but what is said of this one.
      "No OpenCL device was found." + findings.map { "\n  \($0)" }.joined()
        + (findings.contains { $0.platform != nil }
          ? "" : (findings.isEmpty ? " " : "\n") + Self.installation)
    case .unknownDevice(let selector, let available):
      """
      No OpenCL device matches "\(printable(selector))". Choose by index, by type (cpu, gpu, accelerator) or by part of \
      the name, with --device or GRAFT_DEVICE. Here are: \(available.map { printable($0) }.joined(separator: "; ")).
      """
    case .outOfMemory(let requested, let inUse, let limit):
      // A launch that fails for want of memory does not say how much it wanted.
      """
      Out of device memory: \(requested > 0 ? "\(formatBytes(requested)) asked" : "the driver ran out of it"), \(formatBytes(inUse)) in use, limit \
      \(formatBytes(limit)). Use a smaller batch or image, or a device with more memory.
      """
    case .allocationTooLarge(let requested, let limit):
      """
      One buffer of \(formatBytes(requested)) is more than this device allows in one piece \
      (\(formatBytes(limit))). Use a smaller batch or image.
      """
    case .buildFailed(let program, let options, let device, let log):
      "The kernel program \"\(program)\" did not compile on \(device) with \"\(options)\":\n\(log)"
    case .unknownKernel(let name):
      "There is no kernel called \"\(name)\" in Graft's embedded sources."
    case .openCL(let function, let status):
      """
      \(function) failed: \(status). \(
        status.isOutOfMemory
          ? "Use a smaller batch or image, or a device with more memory."
          : "Try again; if it persists, see with \"graft doctor\" whether this device and driver compute correctly, or choose another device.")
      """
    case .deviceLost(let function, let status):
      """
      The device has failed: \(function) reports \(status). What it was computing is lost, and nothing that is in its \
      memory can be used any more. Open the device anew and load the model again; a training run continues from its \
      checkpoint with --resume. If it happens again, use a smaller batch, another device or another driver.
      """
    }
  }
}

/// A byte count as people read it: `1.5 GiB`.
public func formatBytes(_ bytes: Int) -> String {
  var value = Double(bytes)
  for unit in ["bytes", "KiB", "MiB"] {
    if value < 1024 { return unit == "bytes" ? "\(bytes) bytes" : "\(rounded(value)) \(unit)" }
    value /= 1024
  }
  return "\(rounded(value)) GiB"
}

private func rounded(_ value: Double) -> Double { (value * 10).rounded() / 10 }
