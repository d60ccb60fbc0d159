import COpenCL

/// An OpenCL object that is retained on the way in and released at the end of its owner's life.
///
/// `@unchecked Sendable`: the OpenCL specification (section "OpenCL thread safety") makes every API call
/// thread-safe except `clSetKernelArg` on one kernel object; kernels are therefore used only under the lock of
/// ``KernelLibrary``. The pointer itself never changes after `init`.
package final class Handle: @unchecked Sendable {
  package let pointer: OpaquePointer
  private let release: @Sendable (OpaquePointer) -> Void

  /// Takes over a reference (+1) that `release` gives back.
  ///
  /// A destructor never throws: a status is ignored.
  package init(owning pointer: OpaquePointer, release: @escaping @Sendable (OpaquePointer) -> Void) {
    self.pointer = pointer
    self.release = release
  }

  deinit { release(pointer) }
}
