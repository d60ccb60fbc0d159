import COpenCL
import Synchronization

/// Bytes for the device on a queue of their own, so that the next batch crosses the bus while this one is computed.
///
/// Memory that the host lets go of can be handed out again at once only because one in-order queue does all the work. A
/// second queue breaks that, so it writes to places of its own, which the pool never sees: a place is written again only
/// behind everything that was queued when its last reader let go of it.
final class UploadRing: Sendable {
  /// One is read by what is computed, one is on its way, one is being filled.
  private static let count = 3

  private let context: Handle
  private let compute: CommandQueue
  private let queue: Handle
  /// Places are counted, and nothing is copied.
  private let isRehearsal: Bool
  private let ring = Mutex(Ring())

  private struct Ring {
    var places: [Place] = []
    var next = 0
  }

  init(context: Handle, device: Device, compute: CommandQueue) throws {
    self.context = context
    self.compute = compute
    queue = try CommandQueue.make(on: context, device, properties: 0)
    isRehearsal = false
  }

  /// The same queue with places of its own.
  init(sharing other: UploadRing, isRehearsal: Bool) {
    (context, compute, queue) = (other.context, other.compute, other.queue)
    self.isRehearsal = isRehearsal
  }

  /// Copies bytes to the device.
  ///
  /// - Parameter allocate: where a place's memory on the device comes from.
  /// - Returns: the bytes, for what is queued for computing from now on; `nil` when all places are taken.
  func upload(_ bytes: UnsafeRawBufferPointer, allocate: (Int) throws -> Buffer) throws -> Buffer? {
    try ring.withLock { ring -> UncheckedResult<Buffer?> in
      guard let place = try place(for: bytes.count, in: &ring, allocate) else { return UncheckedResult(nil) }
      if !isRehearsal { try copy(bytes, to: place) }
      place.isTaken = true
      return UncheckedResult(
        Buffer(staged: place.device, byteCount: bytes.count) { [self] in release(place) })
    }.value
  }

  private func place(
    for byteCount: Int, in ring: inout Ring, _ allocate: (Int) throws -> Buffer
  ) throws -> Place? {
    if ring.places.count < Self.count {
      let place = try Place(allocate(byteCount), isRehearsal ? nil : pinned(byteCount))
      ring.places.append(place)
      return place
    }
    let turn = ring.next
    guard !ring.places[turn].isTaken else { return nil }
    ring.next = (turn + 1) % Self.count
    if ring.places[turn].device.byteCount < byteCount {
      try ring.places[turn].waitForCopy()
      ring.places[turn] = try Place(allocate(byteCount), isRehearsal ? nil : pinned(byteCount))
    }
    return ring.places[turn]
  }

  private func pinned(_ byteCount: Int) throws -> PinnedMemory {
    try PinnedMemory(byteCount: byteCount, context: context, queue: queue)
  }

  private func copy(_ bytes: UnsafeRawBufferPointer, to place: Place) throws {
    try place.waitForCopy()
    guard let source = bytes.baseAddress, let pinned = place.pinned else { return }
    pinned.pointer.copyMemory(from: source, byteCount: bytes.count)
    var written: cl_event?
    let before: [cl_event?] = place.lastUse.map { [$0.pointer] } ?? []
    try openCL("clEnqueueWriteBuffer") {
      $0 = clEnqueueWriteBuffer(
        queue.pointer, place.device.handle.pointer, cl_bool(CL_FALSE), 0, bytes.count, pinned.pointer,
        cl_uint(before.count), before.isEmpty ? nil : before, &written)
    }
    place.lastUse = nil
    place.copied = written.map { Handle(owning: $0, .event) }
    try openCL("clFlush") { $0 = clFlush(queue.pointer) }
    try openCL("clEnqueueBarrierWithWaitList") {
      $0 = clEnqueueBarrierWithWaitList(compute.pointer, 1, &written, nil)
    }
  }

  /// Marks the place free behind all that is queued now, its readers among it.
  private func release(_ place: Place) {
    ring.withLock { _ in
      guard !isRehearsal else {
        place.isTaken = false
        return
      }
      var event: cl_event?
      // A place whose end nobody can tell stays taken: uploads go the ordinary way then.
      let marked: Void? = try? openCL("clEnqueueMarkerWithWaitList") {
        $0 = clEnqueueMarkerWithWaitList(compute.pointer, 0, nil, &event)
      }
      guard marked != nil, let event, (try? compute.flush()) != nil else { return }
      place.lastUse = Handle(owning: event, .event)
      place.isTaken = false
    }
  }
}

/// A stretch of the device's memory, and the host's from which it is filled.
///
/// `@unchecked Sendable`: `device` and `pinned` never change. What `pinned` points to, `copied`, `lastUse` and `isTaken` are
/// read and written only under the lock of the ``UploadRing`` that made it, and `deinit` runs when nobody else has it.
private final class Place: @unchecked Sendable {
  let device: Buffer
  let pinned: PinnedMemory?
  /// The copy that reads `pinned`.
  var copied: Handle?
  /// Behind all that reads `device`.
  var lastUse: Handle?
  var isTaken = false

  init(_ device: Buffer, _ pinned: PinnedMemory?) {
    self.device = device
    self.pinned = pinned
  }

  /// Waits until the driver has read `pinned`.
  func waitForCopy() throws {
    guard let copied else { return }
    var event: cl_event? = copied.pointer
    try openCL("clWaitForEvents") { $0 = clWaitForEvents(1, &event) }
    self.copied = nil
  }

  deinit { _ = copied?.waitForEnd() }
}

/// Memory of the host that the device reads without the driver's own copy.
private final class PinnedMemory {
  let pointer: UnsafeMutableRawPointer
  private let buffer: Handle
  private let queue: Handle

  init(byteCount: Int, context: Handle, queue: Handle) throws {
    let flags = cl_mem_flags(CL_MEM_READ_ONLY | CL_MEM_ALLOC_HOST_PTR)
    let memory = try openCL("clCreateBuffer") { clCreateBuffer(context.pointer, flags, byteCount, nil, &$0) }
    guard let memory else { throw RuntimeError.openCL(function: "clCreateBuffer", status: .noDevice) }
    let buffer = Handle(owning: memory, .memory)
    let mapped = try openCL("clEnqueueMapBuffer") {
      clEnqueueMapBuffer(
        queue.pointer, memory, cl_bool(CL_TRUE), cl_map_flags(CL_MAP_WRITE), 0, byteCount, 0, nil, nil, &$0)
    }
    guard let mapped else { throw RuntimeError.openCL(function: "clEnqueueMapBuffer", status: .noDevice) }
    (pointer, self.buffer, self.queue) = (mapped, buffer, queue)
  }

  deinit {
    _ = try? openCL("clEnqueueUnmapMemObject") {
      $0 = clEnqueueUnmapMemObject(queue.pointer, buffer.pointer, pointer, 0, nil, nil)
    }
    _ = try? openCL("clFlush") { $0 = clFlush(queue.pointer) }
  }
}
