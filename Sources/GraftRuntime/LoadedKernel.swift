import COpenCL

/// A kernel object, and what its arguments were last set to: those that are the same again are not set again.
struct LoadedKernel {
  let handle: Handle
  /// What the driver said of it, by what was asked: it does not change.
  var answers: [Int32: UInt64] = [:]
  private var known: [ArgumentValue?] = []

  init(_ handle: Handle) { self.handle = handle }

  mutating func set(_ arguments: [any KernelArgument]) throws {
    if known.count < arguments.count {
      known += [ArgumentValue?](repeating: nil, count: arguments.count - known.count)
    }
    for (index, argument) in arguments.enumerated() where known[index] != argument.value {
      // Nobody knows what it is once the driver has refused.
      known[index] = nil
      try argument.set(on: handle.pointer, at: cl_uint(index))
      known[index] = argument.value
    }
  }
}

/// What an argument is, as far as a kernel object can tell it from another.
package enum ArgumentValue: Hashable, Sendable {
  case bits(UInt32)
  /// Memory by its number: an address may come again for other memory.
  case memory(UInt64)
  case local(byteCount: Int)
}
