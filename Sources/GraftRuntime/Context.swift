import COpenCL
import Synchronization

/// One device made ready for work: its OpenCL context, an in-order queue, memory and compiled kernels.
///
/// Work is asynchronous: launching returns at once, and the host waits only where it reads. Because there is one
/// in-order queue, memory that the host has let go of can be handed out again at once: whatever still uses it
/// was queued earlier and runs earlier.
public final class Context: Sendable {
  /// The device that runs the work.
  public let device: Device
  /// How frozen weights are kept in its memory.
  public let precision: StoragePrecision
  /// Memory of the device: bytes in use, peak, and the limit.
  public let memory: Allocator
  package let kernels: KernelLibrary
  /// Which faster variants were found right here.
  package let selfChecks: SelfChecks
  /// Variants and tile sizes of the kernels.
  package let tuning: Tuning
  /// Where they came from.
  package let tuningOrigin: Tuning.Origin
  let handle: Handle
  package let queue: CommandQueue
  private let uploads: UploadRing?
  private let transfers: Transfers
  private let guards: MemoryGuards?
  /// What was launched, where it is watched, or would have been, in a rehearsal.
  package let log: LaunchLog?
  /// Why no more work is taken, known to all contexts that share the queue.
  private let loss: Loss
  /// Times of kernels, when a measurement asked for them.
  package let profiler = Profiler()
  /// Memory is accounted for as in earnest, but nothing is computed, and whatever is read is zero.
  package var isRehearsal: Bool { memory.isRehearsal }

  /// What the device can do.
  public var traits: DeviceTraits { device.traits }

  /// Opens a device, with the tuning that `graft tune` left for it.
  ///
  /// What is known to be wrong with its driver, and each faster variant that fails its self-check, is told to a logger
  /// called "graft" (swift-log), which goes where the app sends its logs. That kernels are being compiled, which takes
  /// seconds the first time, is told to one called "graft.compilation".
  ///
  /// - Parameters:
  ///   - device: the device; see ``Device/select(_:)``.
  ///   - precision: how frozen weights are kept in its memory.
  ///   - memoryLimit: most bytes to hold on the device; by default all that it has.
  ///   - checksMemory: fills new buffers with NaN and watches the bytes behind them, for tests.
  /// - Throws: ``RuntimeError`` when the driver refuses.
  public convenience init(
    _ device: Device, precision: StoragePrecision = .fp32, memoryLimit: Int? = nil, checksMemory: Bool = false
  ) throws {
    try self.init(
      device, precision: precision, memoryLimit: memoryLimit, checksMemory: checksMemory,
      tuning: Tuning.load(for: device.traits))
  }

  private init(
    _ device: Device, precision: StoragePrecision, memoryLimit: Int?, checksMemory: Bool,
    tuning: (tuning: Tuning, origin: Tuning.Origin)
  ) throws {
    self.device = device
    self.precision = precision
    (self.tuning, tuningOrigin) = tuning
    transfers = Transfers()
    loss = Loss()
    log = nil
    guards = checksMemory ? MemoryGuards() : nil
    var id: cl_device_id? = device.handle.pointer
    let context = try driverSetUp.withLock { _ in
      try openCL("clCreateContext") { UncheckedResult(clCreateContext(nil, 1, &id, nil, nil, &$0)) }
    }.value
    guard let context else { throw RuntimeError.openCL(function: "clCreateContext", status: .noDevice) }
    handle = Handle(owning: context, .context)
    queue = try CommandQueue(context: handle, device: device)
    // A processor's memory is the device's: there is nothing to cross.
    uploads =
      device.traits.kind == .gpu && !checksMemory
      ? try UploadRing(context: handle, device: device, compute: queue) : nil
    memory = Allocator(context: handle, traits: device.traits, limit: memoryLimit)
    kernels = KernelLibrary(context: handle, device: device)
    selfChecks = SelfChecks(device: device.traits.name)
    Warnings.limits(of: device.traits)
  }

  private init(
    sharing context: Context, memory: Allocator, tuning: (tuning: Tuning, origin: Tuning.Origin),
    isWatched: Bool = false
  ) {
    device = context.device
    precision = context.precision
    handle = context.handle
    queue = context.queue
    uploads =
      isWatched ? nil : context.uploads.map { UploadRing(sharing: $0, isRehearsal: memory.isRehearsal) }
    kernels = context.kernels
    selfChecks = context.selfChecks
    transfers = context.transfers
    loss = context.loss
    log = isWatched || memory.isRehearsal ? LaunchLog() : nil
    guards = isWatched ? MemoryGuards() : nil
    (self.tuning, tuningOrigin) = tuning
    self.memory = memory
  }

  /// The same queue, memory and compiled kernels under another tuning.
  ///
  /// - Parameters:
  ///   - tuning: within the device's limits; see ``Tuning/fault(on:)``.
  ///   - isWatched: checks its memory, as at creation, and keeps a ``log``.
  package func tuned(_ tuning: Tuning, isWatched: Bool = false) -> Context {
    Context(sharing: self, memory: memory, tuning: (tuning, .given), isWatched: isWatched)
  }

  /// The same device, on which work can be rehearsed to learn what memory it needs.
  ///
  /// Memory is handed out, pooled and taken back as in earnest, but nothing is computed: what is read is zero.
  ///
  /// - Parameter memoryLimit: most bytes to hold; by default all that the device has.
  package func rehearsal(memoryLimit: Int? = nil) -> Context {
    let memory = Allocator(context: handle, traits: traits, limit: memoryLimit, isRehearsal: true)
    return Context(sharing: self, memory: memory, tuning: (tuning, tuningOrigin))
  }

  /// The same queue and compiled kernels with memory that is counted apart, whether or not this is a rehearsal.
  package func apart() -> Context {
    Context(
      sharing: self, memory: Allocator(context: handle, traits: traits, limit: nil),
      tuning: (tuning, tuningOrigin))
  }

  /// Throws when the device has failed: what is in its memory cannot be trusted any more.
  ///
  /// - Throws: ``RuntimeError/deviceLost(function:status:)``.
  package func requireUsable() throws { if let loss = loss.first.withLock({ $0 }) { throw loss } }

  /// Takes work again, for tests whose device only seemed to fail.
  package func forgetLoss() { loss.first.withLock { $0 = nil } }

  /// Does something with the device, and gives a failure its meaning.
  ///
  /// A call that is refused has changed nothing and can be tried again. A failure that shows only where the host waits
  /// belongs to work that was queued before, of which nobody knows what it has written: from then on the device counts
  /// as lost. (NVIDIA's driver reports a kernel that went wrong as CL_OUT_OF_RESOURCES from whatever waits next, and
  /// CL_INVALID_COMMAND_QUEUE from then on.)
  ///
  /// - Parameters:
  ///   - waits: `body` waits for queued work.
  ///   - byteCount: memory that it asks for.
  package func attempt<Result>(
    waits: Bool = false, asking byteCount: Int = 0, _ body: () throws -> Result
  ) throws -> Result {
    try requireUsable()
    let error: RuntimeError
    do {
      return try body()
    } catch RuntimeError.openCL(let function, let status) where waits || status.isLoss {
      error = .deviceLost(function: function, status: status)
    } catch RuntimeError.openCL(_, let status) where status.isOutOfMemory {
      throw RuntimeError.outOfMemory(requested: byteCount, inUse: memory.bytesInUse, limit: memory.limit)
    } catch let failure as RuntimeError where failure.isLoss {
      error = failure
    }
    loss.first.withLock { $0 = $0 ?? error }
    throw error
  }

  /// Waits until all queued work is done.
  ///
  /// - Throws: ``RuntimeError/deviceLost(function:status:)`` when some of it failed.
  public func finish() throws {
    // For an event, not by clFinish, which Rusticl (Mesa 22.3; no longer 25.0) leaves at once where the queue has been
    // flushed before.
    try attempt(waits: true) {
      var event: cl_event?
      try openCL("clEnqueueMarkerWithWaitList") {
        $0 = clEnqueueMarkerWithWaitList(queue.pointer, 0, nil, &event)
      }
      if let event { try wait(for: Handle(owning: event, .event)) }
    }
  }

  /// Waits for queued work up to an event.
  func wait(for event: Handle) throws {
    var pointer: cl_event? = event.pointer
    try attempt(waits: true) {
      try openCL("clWaitForEvents") { $0 = clWaitForEvents(1, &pointer) }
      try transfers.sweep()
    }
  }

  /// A new buffer of `byteCount` bytes with unspecified contents.
  package func buffer(byteCount: Int) throws -> Buffer {
    let wanted = byteCount + (guards == nil ? 0 : MemoryGuards.byteCount + byteCount % 4)
    let buffer: Buffer
    do {
      buffer = try attempt(asking: byteCount) { try memory.allocate(wanted) }
    } catch RuntimeError.outOfMemory {
      // Memory of finished work may still wait for release in the driver: wait once, then insist.
      try finish()
      buffer = try attempt(asking: byteCount) { try memory.allocate(wanted) }
    }
    if let guards {
      try fill(buffer, with: MemoryGuards.pattern, byteCount: wanted / 4 * 4)
      guards.watch(buffer, from: byteCount)
    }
    return buffer
  }

  /// Bytes behind a buffer that some kernel overwrote since the last call, as a count of damaged buffers.
  ///
  /// Only for a context that checks its memory.
  package func damagedBuffers() throws -> Int {
    try finish()
    return try guards?.damaged { try read($0, into: $1) } ?? 0
  }

  /// Copies host bytes to the start of `buffer`, without waiting for the device.
  package func write(_ bytes: UnsafeRawBufferPointer, to buffer: Buffer) throws {
    guard let source = bytes.baseAddress, bytes.count > 0 else { return }
    precondition(bytes.count <= buffer.byteCount, "more bytes than the buffer holds")
    guard !isRehearsal else { return }
    // The driver reads host memory until the event completes, so it reads a copy that lives as long.
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 64)
    copy.copyMemory(from: UnsafeRawBufferPointer(start: source, count: bytes.count))
    try attempt(asking: bytes.count) {
      var event: cl_event?
      do {
        try openCL("clEnqueueWriteBuffer") {
          $0 = clEnqueueWriteBuffer(
            queue.pointer, buffer.handle.pointer, cl_bool(CL_FALSE), 0, bytes.count, copy.baseAddress, 0, nil,
            &event)
        }
      } catch {
        copy.deallocate()
        throw error
      }
      // From here on the driver may read the copy, whatever fails next.
      if let event { transfers.keep(copy, until: Handle(owning: event, .event)) }
      try queue.flush()
      try transfers.sweep()
    }
  }

  /// Host bytes on the device, for what is queued from now on; on a GPU they cross the bus beside what is computed.
  package func upload(_ bytes: UnsafeRawBufferPointer) throws -> Buffer {
    do {
      let staged = try attempt(asking: bytes.count) {
        try uploads?.upload(bytes) { try memory.allocate($0) }
      }
      if let staged { return staged }
    } catch RuntimeError.outOfMemory {
      // There may be room enough without a place that stays.
    }
    let buffer = try buffer(byteCount: bytes.count)
    try write(bytes, to: buffer)
    return buffer
  }

  /// Copies the start of `buffer` to host memory and waits for it.
  package func read(_ buffer: Buffer, into bytes: UnsafeMutableRawBufferPointer) throws {
    guard bytes.count > 0 else { return }
    precondition(bytes.count <= buffer.byteCount, "more bytes than the buffer holds")
    // No blocking read: Rusticl (Mesa 22.3) leaves it at once where another thread flushes the queue in between.
    try attempt(waits: true) { try queueRead(buffer, byteCount: bytes.count).copy(to: bytes) }
  }

  /// Fills a buffer with a repeated 32-bit pattern.
  package func fill(_ buffer: Buffer, with pattern: UInt32, byteCount: Int) throws {
    guard byteCount > 0, !isRehearsal else { return }
    var pattern = pattern
    try attempt {
      try openCL("clEnqueueFillBuffer") {
        $0 = clEnqueueFillBuffer(queue.pointer, buffer.handle.pointer, &pattern, 4, 0, byteCount, 0, nil, nil)
      }
    }
  }

  /// Copies bytes between buffers on the device.
  package func copy(_ source: Buffer, to target: Buffer, byteCount: Int) throws {
    guard byteCount > 0, !isRehearsal else { return }
    try attempt {
      try openCL("clEnqueueCopyBuffer") {
        $0 = clEnqueueCopyBuffer(
          queue.pointer, source.handle.pointer, target.handle.pointer, 0, 0, byteCount, 0, nil, nil)
      }
    }
  }

  /// Queues a kernel.
  ///
  /// - Parameters:
  ///   - kernel: its source file, name and the macros it is compiled with.
  ///   - global: work-items along each dimension; rounded up to whole groups, so kernels check their bounds.
  ///   - group: work-items of a group along each dimension.
  ///   - arguments: in the kernel's order.
  package func run(
    _ kernel: KernelKey, over global: [Int], group: [Int], _ arguments: any KernelArgument...
  ) throws {
    try run(kernel, over: global, group: group, arguments: arguments)
  }

  package func run(
    _ kernel: KernelKey, over global: [Int], group: [Int], arguments: [any KernelArgument]
  ) throws {
    guard global.allSatisfy({ $0 > 0 }) else { return }
    guard !isRehearsal else {
      log?.add(kernel, over: global, group: group)
      return
    }
    // What a device of these traits would refuse is refused here, though the real one may be larger.
    guard group.reduce(1, *) <= traits.maxWorkGroupSize, zip(group, traits.maxWorkItemSizes).allSatisfy(<=)
    else { throw Self.refusal(of: kernel, CL_INVALID_WORK_GROUP_SIZE) }
    if guards != nil, try localMemory(of: kernel) > traits.localMemory {
      throw Self.refusal(of: kernel, CL_OUT_OF_RESOURCES)
    }
    log?.add(kernel, over: global, group: group, arguments)
    try withKernel(kernel) { loaded in
      try loaded.set(arguments)
      let pointer = loaded.handle.pointer
      let rounded = zip(global, group).map { ($0 + $1 - 1) / $1 * $1 }
      var event: cl_event?
      let profiling = profiler.isEnabled
      try openCL("clEnqueueNDRangeKernel") { status in
        let dimensions = cl_uint(global.count)
        status =
          profiling
          ? clEnqueueNDRangeKernel(queue.pointer, pointer, dimensions, nil, rounded, group, 0, nil, &event)
          : clEnqueueNDRangeKernel(queue.pointer, pointer, dimensions, nil, rounded, group, 0, nil, nil)
      }
      if let event { profiler.add(kernel, Handle(owning: event, .event)) }
      queue.launched()
    }
  }

  /// Largest work-group this kernel may use on the device, queried after its build; in a rehearsal, for which nothing is
  /// built, any kernel's.
  package func maxGroup(of kernel: KernelKey) throws -> Int {
    guard !isRehearsal else { return traits.maxWorkGroupSize }
    return try ask(CL_KERNEL_WORK_GROUP_SIZE, of: kernel, as: Int.self)
  }

  /// Local memory that the driver takes for the arrays of a kernel, in bytes.
  ///
  /// It may be more than they hold: Mesa counts those of all kernels of a program. In a rehearsal 0.
  package func localMemory(of kernel: KernelKey) throws -> Int {
    guard !isRehearsal else { return 0 }
    let taken = try ask(CL_KERNEL_LOCAL_MEM_SIZE, of: kernel, as: Int.self)
    return traits.quirks.contains(.doublesLocalMemory) ? taken / 2 : taken
  }

  /// Memory that each work-item of a kernel takes, in bytes: on a GPU what its registers do not hold.
  ///
  /// In a rehearsal 0.
  package func privateMemory(of kernel: KernelKey) throws -> Int {
    guard !isRehearsal else { return 0 }
    return Int(clamping: try ask(CL_KERNEL_PRIVATE_MEM_SIZE, of: kernel, as: cl_ulong.self))
  }

  private func ask<Value: FixedWidthInteger>(
    _ parameter: Int32, of kernel: KernelKey, as type: Value.Type
  ) throws -> Value {
    try withKernel(kernel) { loaded in
      if let known = loaded.answers[parameter] { return Value(clamping: known) }
      let pointer = loaded.handle.pointer
      var value: Value = 0
      try openCL("clGetKernelWorkGroupInfo") {
        $0 = clGetKernelWorkGroupInfo(
          pointer, device.handle.pointer, cl_kernel_work_group_info(parameter),
          MemoryLayout<Value>.size, &value, nil)
      }
      loaded.answers[parameter] = UInt64(clamping: value)
      return value
    }
  }

  private static func refusal(of kernel: KernelKey, _ status: cl_int) -> RuntimeError {
    .openCL(function: "clEnqueueNDRangeKernel of \(kernel.function)", status: OpenCLStatus(rawValue: status))
  }

  private func withKernel<Result>(_ key: KernelKey, _ body: (inout LoadedKernel) throws -> Result) throws
    -> Result
  {
    try attempt { try kernels.withKernel(key, body) }
  }
}

/// The first failure after which a queue takes no more work.
private final class Loss: Sendable {
  let first = Mutex<RuntimeError?>(nil)
}
