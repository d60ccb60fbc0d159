package import COpenCL
import Synchronization

/// The in-order queue of a context, and a second one that times its kernels, made when someone measures.
///
/// Timing costs speed on several drivers (chipStar's pull request 814 saw up to 1.8 times on an Arc A750).
package final class CommandQueue: Sendable {
  /// Launches after which those before are handed to the device, so that it starts while the host goes on.
  private static let launchesAFlush = 16

  private let context: Handle
  private let device: Device
  private let plain: Handle
  private let timing = Mutex<Handle?>(nil)
  private let isTiming = Atomic(false)
  private let waiting = Atomic(0)

  init(context: Handle, device: Device) throws {
    self.context = context
    self.device = device
    plain = try Self.make(on: context, device, properties: 0)
  }

  static func make(on context: Handle, _ device: Device, properties: Int32) throws -> Handle {
    let queue = try openCL("clCreateCommandQueue") {
      clCreateCommandQueue(
        context.pointer, device.handle.pointer, cl_command_queue_properties(properties), &$0)
    }
    guard let queue else { throw RuntimeError.openCL(function: "clCreateCommandQueue", status: .noDevice) }
    return Handle(owning: queue, .queue)
  }

  /// Where work goes now.
  ///
  /// Both queues live as long as this object.
  package var pointer: cl_command_queue {
    guard isTiming.load(ordering: .relaxed) else { return plain.pointer }
    return timing.withLock { $0?.pointer } ?? plain.pointer
  }

  /// Sends what comes to the queue that times it, or back to the plain one; all work must be done.
  func setTiming(_ isWanted: Bool) throws {
    try timing.withLock { queue in
      if isWanted, queue == nil {
        queue = try Self.make(on: context, device, properties: CL_QUEUE_PROFILING_ENABLE)
      }
    }
    isTiming.store(isWanted, ordering: .relaxed)
  }

  /// Counts a launch, and hands the waiting ones to the device when they are many.
  ///
  /// A processor's runtime starts at once and needs no telling. A hint that fails is no failure of the launch, which has
  /// happened: whoever waits next is told.
  func launched() {
    guard !device.traits.isCPU else { return }
    if waiting.add(1, ordering: .relaxed).newValue >= Self.launchesAFlush { try? flush() }
  }

  /// Hands all that is queued to the device.
  func flush() throws {
    waiting.store(0, ordering: .relaxed)
    try openCL("clFlush") { $0 = clFlush(pointer) }
  }
}
