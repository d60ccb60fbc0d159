import COpenCL
import Synchronization

/// Hands out device memory and takes it back for reuse, counting every byte.
///
/// A training step asks for the same sizes again and again, so freed buffers wait in a pool and the driver is
/// asked only in the first step.
public final class Allocator: Sendable {
  private struct State {
    var pool: [Int: [Handle]] = [:]
    var bytesInUse = 0
    var bytesReserved = 0
    var peak = 0
  }

  /// Most bytes that may be held on the device.
  public let limit: Int
  private let context: Handle
  private let maxAllocation: Int
  /// Bytes are counted, but next to none are taken from the device.
  let isRehearsal: Bool
  private let state = Mutex(State())

  init(context: Handle, traits: DeviceTraits, limit: Int?, isRehearsal: Bool = false) {
    self.context = context
    self.isRehearsal = isRehearsal
    maxAllocation = traits.maxAllocation
    self.limit = min(limit ?? .max, traits.globalMemory)
  }

  /// Bytes that live buffers occupy now.
  public var bytesInUse: Int { state.withLock { $0.bytesInUse } }
  /// Bytes held from the driver now, in use or pooled.
  public var bytesReserved: Int { state.withLock { $0.bytesReserved } }
  /// Most bytes held from the driver since the last ``resetPeak()``.
  public var peakBytes: Int { state.withLock { $0.peak } }

  /// Starts a new measurement of the peak: the pool is emptied first.
  public func resetPeak() {
    state.withLock { state in
      trim(&state)
      state.peak = state.bytesReserved
    }
  }

  func allocate(_ byteCount: Int) throws -> Buffer {
    let capacity = roundedCapacity(max(byteCount, 4))
    guard capacity <= maxAllocation else {
      throw RuntimeError.allocationTooLarge(requested: byteCount, limit: maxAllocation)
    }
    let (handle, taken) = try state.withLock { state -> (Handle, Int) in
      // The smallest pooled buffer that fits with at most a quarter to spare.
      let fit = state.pool.keys.filter { $0 >= capacity && $0 <= capacity + capacity / 4 }.min()
      if let fit, let handle = state.pool[fit]?.popLast() {
        if state.pool[fit]?.isEmpty == true { state.pool[fit] = nil }
        state.bytesInUse += fit
        return (handle, fit)
      }
      if state.bytesReserved + capacity > limit { trim(&state) }
      guard state.bytesReserved + capacity <= limit else {
        throw RuntimeError.outOfMemory(requested: byteCount, inUse: state.bytesInUse, limit: limit)
      }
      let handle = try create(capacity, &state)
      state.bytesReserved += capacity
      state.bytesInUse += capacity
      state.peak = max(state.peak, state.bytesReserved)
      return (handle, capacity)
    }
    return Buffer(handle: handle, byteCount: byteCount, capacity: taken, owner: self)
  }

  func recycle(_ handle: Handle, capacity: Int) {
    state.withLock { state in
      state.bytesInUse -= capacity
      state.pool[capacity, default: []].append(handle)
    }
  }

  private func create(_ capacity: Int, _ state: inout State) throws -> Handle {
    for isLastTry in [false, true] {
      do {
        let memory = try openCL("clCreateBuffer") {
          clCreateBuffer(
            context.pointer, cl_mem_flags(CL_MEM_READ_WRITE), isRehearsal ? 4 : capacity, nil, &$0)
        }
        if let memory { return Handle(owning: memory, .memory) }
      } catch RuntimeError.openCL(_, let status) where status.isOutOfMemory {
        if isLastTry { break }
        trim(&state)
      }
    }
    throw RuntimeError.outOfMemory(requested: capacity, inUse: state.bytesInUse, limit: limit)
  }

  /// Gives pooled buffers back to the driver.
  private func trim(_ state: inout State) {
    for (capacity, handles) in state.pool { state.bytesReserved -= capacity * handles.count }
    state.pool = [:]
  }

  /// Whole pages for small buffers and 64 KiB steps for large ones, so that near sizes share buffers.
  private func roundedCapacity(_ byteCount: Int) -> Int {
    let step = byteCount < 1 << 20 ? 4096 : 1 << 16
    return (byteCount + step - 1) / step * step
  }
}
