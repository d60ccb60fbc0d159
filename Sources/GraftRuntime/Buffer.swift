import COpenCL

/// A stretch of device memory.
///
/// It goes back to its allocator when the last reference is gone.
public final class Buffer: Sendable {
  package let handle: Handle
  /// Usable bytes.
  public let byteCount: Int
  private let owner: Allocator?
  private let capacity: Int
  private let parent: Buffer?
  private let onRelease: (@Sendable () -> Void)?

  init(handle: Handle, byteCount: Int, capacity: Int, owner: Allocator) {
    self.handle = handle
    self.byteCount = byteCount
    self.capacity = capacity
    self.owner = owner
    parent = nil
    onRelease = nil
  }

  private init(slice handle: Handle, byteCount: Int, of parent: Buffer) {
    self.handle = handle
    self.byteCount = byteCount
    self.parent = parent
    capacity = 0
    owner = nil
    onRelease = nil
  }

  /// The start of memory that another keeps, who is told when the last reference to this is gone.
  init(staged place: Buffer, byteCount: Int, onRelease: @escaping @Sendable () -> Void) {
    handle = place.handle
    self.byteCount = byteCount
    parent = place
    capacity = 0
    owner = nil
    self.onRelease = onRelease
  }

  /// A window onto this buffer that keeps it alive.
  ///
  /// - Parameters:
  ///   - offset: first byte; a multiple of the device's sub-buffer alignment.
  ///   - byteCount: length in bytes.
  package func slice(at offset: Int, byteCount: Int) throws -> Buffer {
    if owner?.isRehearsal == true { return Buffer(slice: handle, byteCount: byteCount, of: self) }
    var region = cl_buffer_region(origin: offset, size: byteCount)
    let slice = try openCL("clCreateSubBuffer") {
      clCreateSubBuffer(
        handle.pointer, cl_mem_flags(CL_MEM_READ_WRITE), cl_buffer_create_type(CL_BUFFER_CREATE_TYPE_REGION),
        &region, &$0)
    }
    guard let slice else {
      throw RuntimeError.openCL(
        function: "clCreateSubBuffer", status: OpenCLStatus(rawValue: CL_INVALID_VALUE))
    }
    return Buffer(
      slice: Handle(owning: slice, .memory), byteCount: byteCount, of: self)
  }

  deinit {
    owner?.recycle(handle, capacity: capacity)
    onRelease?()
  }
}
