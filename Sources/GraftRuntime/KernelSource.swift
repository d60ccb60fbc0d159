import GraftKernels

/// Text of a kernel source embedded from Kernels/, by its file's name without `.cl`.
package func kernelSource(_ name: String) -> String? {
  let source = graft_kernel_source_named(name)
  guard let text = source.text else { return nil }
  return String(decoding: UnsafeRawBufferPointer(start: text, count: source.length), as: UTF8.self)
}
