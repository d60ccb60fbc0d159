public import GraftRuntime

/// An array of numbers in device memory, row-major and contiguous.
///
/// A tensor is made once and, but for trainable parameters, never changed afterwards; operations make new ones.
/// Its memory is recycled when the last reference is gone.
public final class Tensor {
  /// What the elements are.
  public enum Element: Sendable {
    /// 32-bit IEEE floating point.
    case float32
    /// 32-bit signed integers: class indices.
    case int32
    /// Bytes: pixels.
    case uint8
    /// 16-bit patterns: weights in `StoragePrecision.bf16` or `fp16`, and what only products with bf16 read.
    case uint16

    /// What kernels that write either floats or bf16 must be built with.
    var resultMacros: [KernelKey.Macro] { self == .uint16 ? [.init("BFLOAT_RESULT", 1)] : [] }

    var byteCount: Int {
      switch self {
      case .float32, .int32: 4
      case .uint16: 2
      case .uint8: 1
      }
    }
  }

  /// The device and queue the tensor lives on.
  public let context: Context
  /// Length of each dimension, outermost first.
  public let shape: [Int]
  /// What the elements are.
  public let element: Element
  /// What the backward pass knows this tensor by.
  package let gradientKey: GradientKey
  package let buffer: Buffer
  /// What the tensor is a window onto, where that may be written as a whole.
  var whole: Tensor?
  /// Where it begins there, in elements.
  var start = 0
  /// How often the values were written since they were first made, by what does not go through ``whole``.
  var changes = 0
  /// Of every 32 columns what a layer norm of the rows begins with, (3, chunks, rows), if the values' maker left it: see
  /// ``NormedRows``.
  var chunks: Tensor?
  /// What was computed of the values last, by whoever wants to keep it.
  var derived: DerivedTensor?
  /// What is computed of windows onto this one, by the way in which it is.
  var derivations: [AnyHashable: DerivedTogether] = [:]

  /// Changes when the values may have changed.
  var revision: Int { changes + (whole?.revision ?? 0) }

  /// What the tensor is a window onto in the end, and where it begins there; itself if onto nothing.
  var root: (array: Tensor, start: Int) {
    guard let (array, start) = whole?.root else { return (self, 0) }
    return (array, start + self.start)
  }

  /// True for a trainable parameter and for whatever was computed from one.
  public var requiresGradient: Bool { gradientKey.requiresGradient }

  /// Where the gradient of a trainable parameter is summed; `nil` for everything else.
  package var gradientSum: Tensor? { gradientKey.sum }

  /// Number of elements.
  public var count: Int { shape.reduce(1, *) }

  /// Length of the last dimension.
  package var width: Int { shape.last ?? 1 }

  /// Number of rows when all dimensions but the last are taken together.
  package var rows: Int { shape.dropLast().reduce(1, *) }

  package init(
    _ context: Context, shape: [Int], element: Element = .float32, buffer: Buffer,
    gradientKey: GradientKey? = nil
  ) {
    precondition(shape.allSatisfy { $0 > 0 }, "a tensor has no empty dimension")
    precondition(shape.reduce(1, *) * element.byteCount <= buffer.byteCount, "the buffer is too small")
    self.context = context
    self.shape = shape
    self.element = element
    self.buffer = buffer
    self.gradientKey = gradientKey ?? GradientKey(context: context, shape: shape)
  }

  /// A tensor with unspecified contents.
  ///
  /// - Parameter gradientKey: what the backward pass knows it by, where that is known already.
  package convenience init(
    empty shape: [Int], element: Element = .float32, on context: Context, gradientKey: GradientKey? = nil
  ) throws {
    let buffer = try context.buffer(byteCount: shape.reduce(1, *) * element.byteCount)
    self.init(context, shape: shape, element: element, buffer: buffer, gradientKey: gradientKey)
  }

  /// A tensor with these values.
  ///
  /// - Throws: `RuntimeError` when the device has no memory left.
  public convenience init(_ values: [Float], shape: [Int], on context: Context) throws {
    precondition(values.count == shape.reduce(1, *), "values do not fill the shape")
    try self.init(empty: shape, on: context)
    try values.withUnsafeBytes { try context.write($0, to: buffer) }
  }

  /// A tensor of class indices.
  ///
  /// - Throws: `RuntimeError` when the device has no memory left.
  public convenience init(indices values: [Int32], on context: Context) throws {
    try self.init(empty: [values.count], element: .int32, on: context)
    try values.withUnsafeBytes { try context.write($0, to: buffer) }
  }

  /// A tensor of bytes.
  ///
  /// - Throws: `RuntimeError` when the device has no memory left.
  public convenience init(bytes values: [UInt8], shape: [Int], on context: Context) throws {
    precondition(values.count == shape.reduce(1, *), "values do not fill the shape")
    let buffer = try values.withUnsafeBytes { try context.upload($0) }
    self.init(context, shape: shape, element: .uint8, buffer: buffer)
  }

  /// A tensor of zeros.
  package static func zeros(_ shape: [Int], on context: Context) throws -> Tensor {
    let tensor = try Tensor(empty: shape, on: context)
    try context.fill(tensor.buffer, with: 0, byteCount: tensor.count * 4)
    return tensor
  }

  /// The values, once all work queued before is done.
  ///
  /// - Throws: `RuntimeError` when the device fails.
  public func floats() throws -> [Float] {
    precondition(element == .float32, "not a tensor of floats")
    return try [Float](unsafeUninitializedCapacity: count) { memory, initialized in
      try context.read(buffer, into: UnsafeMutableRawBufferPointer(memory))
      initialized = count
    }
  }

  /// Overwrites the values.
  package func assign(_ values: [Float]) throws {
    precondition(values.count == count, "values do not fill the shape")
    changes += 1
    try values.withUnsafeBytes { try context.write($0, to: buffer) }
  }

  /// The same memory under another shape.
  package func reshaped(_ shape: [Int]) -> Tensor {
    precondition(shape.reduce(1, *) == count, "a reshape keeps the number of elements")
    let tensor = Tensor(context, shape: shape, element: element, buffer: buffer)
    tensor.whole = self
    return tensor
  }
}

/// Floats on their way to the host.
package struct PendingFloats {
  fileprivate let read: PendingRead
  fileprivate let count: Int

  /// Waits for them.
  package func wait() throws -> [Float] { try read.floats(count) }
}

extension Tensor {
  /// Queues a copy to the host behind the work queued so far; work queued later need not be waited for.
  package func floatsLater() throws -> PendingFloats {
    precondition(element == .float32, "not a tensor of floats")
    return PendingFloats(read: try context.readLater(buffer, byteCount: count * 4), count: count)
  }
}
