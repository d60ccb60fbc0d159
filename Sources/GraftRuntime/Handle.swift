import COpenCL
import Synchronization

/// An OpenCL object that is released at the end of its owner's life.
///
/// `@unchecked Sendable`: the OpenCL specification (section "OpenCL thread safety") makes every API call
/// thread-safe except `clSetKernelArg` on one kernel object; kernels are therefore used only under the lock of
/// ``KernelLibrary``. The pointer itself never changes after `init`.
package final class Handle: @unchecked Sendable {
  /// What it is, by the name of its type in C.
  package enum Kind: String, Sendable {
    case context = "cl_context"
    case queue = "cl_command_queue"
    case memory = "cl_mem"
    case program = "cl_program"
    case kernel = "cl_kernel"
    case event = "cl_event"
    /// Root devices are never released: the handle only carries the identifier.
    case device = "cl_device_id"
  }

  private static let made = Atomic<UInt64>(0)

  package let pointer: OpaquePointer
  /// Of this object alone: a driver gives the pointer of one that is gone to another.
  let number = Handle.made.add(1, ordering: .relaxed).newValue
  private let kind: Kind
  /// Told of the end as it was of the beginning, whichever task holds the last reference.
  private let watch = CallWatch.current

  /// Takes over a reference (+1).
  package init(owning pointer: OpaquePointer, _ kind: Kind) {
    self.pointer = pointer
    self.kind = kind
    if kind != .device { watch?.made(kind) }
  }

  deinit {
    guard kind != .device else { return }
    watch?.released(kind)
    // A destructor never throws, and a driver that refuses a release has nothing left to release.
    switch kind {
    case .context: _ = try? openCL("clReleaseContext") { $0 = clReleaseContext(pointer) }
    case .queue: _ = try? openCL("clReleaseCommandQueue") { $0 = clReleaseCommandQueue(pointer) }
    case .memory: _ = try? openCL("clReleaseMemObject") { $0 = clReleaseMemObject(pointer) }
    case .program: _ = try? openCL("clReleaseProgram") { $0 = clReleaseProgram(pointer) }
    case .kernel: _ = try? openCL("clReleaseKernel") { $0 = clReleaseKernel(pointer) }
    case .event: _ = try? openCL("clReleaseEvent") { $0 = clReleaseEvent(pointer) }
    case .device: break
    }
  }
}
