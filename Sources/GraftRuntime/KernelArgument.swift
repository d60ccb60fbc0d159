package import COpenCL

/// A value that can be passed to a kernel.
package protocol KernelArgument {
  /// What tells it from other arguments.
  var value: ArgumentValue { get }
  func set(on kernel: cl_kernel, at index: cl_uint) throws
}

/// `int` in OpenCL C.
extension Int: KernelArgument {
  package var value: ArgumentValue { .bits(UInt32(truncatingIfNeeded: self)) }

  package func set(on kernel: cl_kernel, at index: cl_uint) throws {
    guard var value = cl_int(exactly: self) else {
      preconditionFailure("kernel argument \(self) does not fit 32 bits")
    }
    try openCL("clSetKernelArg") { $0 = clSetKernelArg(kernel, index, MemoryLayout<cl_int>.size, &value) }
  }
}

/// `uint` in OpenCL C.
extension UInt32: KernelArgument {
  package var value: ArgumentValue { .bits(self) }

  package func set(on kernel: cl_kernel, at index: cl_uint) throws {
    var value = self
    try openCL("clSetKernelArg") { $0 = clSetKernelArg(kernel, index, MemoryLayout<UInt32>.size, &value) }
  }
}

/// `float` in OpenCL C.
extension Float: KernelArgument {
  package var value: ArgumentValue { .bits(bitPattern) }

  package func set(on kernel: cl_kernel, at index: cl_uint) throws {
    var value = self
    try openCL("clSetKernelArg") { $0 = clSetKernelArg(kernel, index, MemoryLayout<Float>.size, &value) }
  }
}

/// `global T *` in OpenCL C.
extension Buffer: KernelArgument {
  package var value: ArgumentValue { .memory(handle.number) }

  package func set(on kernel: cl_kernel, at index: cl_uint) throws {
    var memory: cl_mem? = handle.pointer
    try openCL("clSetKernelArg") { $0 = clSetKernelArg(kernel, index, MemoryLayout<cl_mem>.size, &memory) }
  }
}

/// `local T *` in OpenCL C, of so many bytes.
package struct LocalMemory: KernelArgument {
  let byteCount: Int

  package init(floats: Int) { byteCount = max(4, floats * 4) }

  package var value: ArgumentValue { .local(byteCount: byteCount) }

  package func set(on kernel: cl_kernel, at index: cl_uint) throws {
    try openCL("clSetKernelArg") { $0 = clSetKernelArg(kernel, index, byteCount, nil) }
  }
}
