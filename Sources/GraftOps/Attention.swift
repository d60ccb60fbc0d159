import GraftRuntime

extension Tape {
  /// Multi-head attention: `softmax(q k^T / sqrt(head size) + bias) v` for each head.
  ///
  /// For the gradient it keeps `qkv`, the output and a number a query (the log of its sum of exponentials); the
  /// probabilities are computed again.
  ///
  /// - Parameters:
  ///   - qkv: (B, N, 3 D): queries, keys and values, each of `heads` heads one after another.
  ///   - heads: number of heads.
  ///   - queries: how many of the tokens, from the first, ask; all of them answer. By default all.
  ///   - bias: (heads, N, N), or (C, heads, N, N) of which sequence b takes class `b % C`: frozen and finite, a row a
  ///     query; what no query may see is a large negative number such as -1e9. Absent it is 0.
  ///   - variant: which kernels to use; by default those for the device.
  /// - Returns: (B, queries, D).
  /// - Throws: ``OperationError/unevenHeads(width:heads:)`` or ``OperationError/headTooWide(headSize:limit:)``.
  package func attention(
    _ qkv: Tensor, heads: Int, queries: Int? = nil, bias: Tensor? = nil, variant: AttentionVariant? = nil
  ) throws -> Tensor {
    let shape = try AttentionShape(qkv, heads: heads, queries: queries)
    let bias = bias.map { AttentionBias($0, of: shape) }
    let kernels = shape.kernels(variant, bias: bias, on: qkv.context)
    let (output, logSumExp) = try kernels.forward(qkv)
    guard needsGradient(qkv) else { return output }
    record(output) { gradient, gradients in
      try gradients.add(kernels.backward(qkv, output, logSumExp, gradient), to: qkv)
    }
    return output
  }
}

/// The ways to compute attention.
package enum AttentionVariant: String, Sendable, CaseIterable {
  /// One work-item a group, wide vectors, scratch in the core's cache.
  case cpu
  /// The same on pairs of bf16, by a processor's dot-product instruction; softmax and sums in fp32.
  case cpuDotProduct
  /// Groups of work-items with register tiles out of local memory, for any device.
  case tiles
}

/// What is added to the scores.
struct AttentionBias {
  /// (classes, heads, tokens, tokens).
  let values: Tensor
  let classes: Int

  init(_ values: Tensor, of shape: AttentionShape) {
    let one = shape.heads * shape.tokens * shape.tokens
    precondition(values.count % one == 0, "(heads, N, N) or (C, heads, N, N)")
    precondition(!values.requiresGradient, "the bias is frozen")
    self.values = values
    classes = values.count / one
  }
}

extension AttentionBias? {
  /// What kernels with a bias are built with, and their last arguments; nothing without, so that they stay as they were.
  var macros: [KernelKey.Macro] { self == nil ? [] : [.init("BIAS", 1)] }
  var arguments: [any KernelArgument] { map { [$0.values.buffer, $0.classes] } ?? [] }
}

/// Kernels for attention of one shape on one device.
protocol AttentionKernels {
  /// The output (B, queries, D) and the log of the sum of exponentials (B, heads, queries).
  func forward(_ qkv: Tensor) throws -> (output: Tensor, logSumExp: Tensor)

  /// The gradient of `qkv`.
  func backward(_ qkv: Tensor, _ output: Tensor, _ logSumExp: Tensor, _ gradient: Tensor) throws -> Tensor
}

/// The lengths that determine an attention.
struct AttentionShape {
  /// Widest head that the kernels hold in registers and local memory.
  static let headLimit = 128

  let batch: Int
  let tokens: Int
  /// The first of the tokens, for which there is an output.
  let queries: Int
  let heads: Int
  let headSize: Int

  var width: Int { heads * headSize }
  /// What scores are multiplied by.
  var scale: Float { 1 / Float(headSize).squareRoot() }

  init(_ qkv: Tensor, heads: Int, queries: Int?) throws {
    precondition(qkv.shape.count == 3 && qkv.width % 3 == 0, "(batch, tokens, 3 width)")
    let width = qkv.width / 3
    guard heads > 0, width % heads == 0 else { throw OperationError.unevenHeads(width: width, heads: heads) }
    guard width / heads <= Self.headLimit else {
      throw OperationError.headTooWide(headSize: width / heads, limit: Self.headLimit)
    }
    batch = qkv.shape[0]
    tokens = qkv.shape[1]
    self.queries = queries ?? tokens
    precondition((1...tokens).contains(self.queries), "queries are tokens")
    self.heads = heads
    headSize = width / heads
  }

  func kernels(
    _ variant: AttentionVariant?, bias: AttentionBias? = nil, on context: Context
  ) -> any AttentionKernels {
    let variant = variant ?? (context.traits.isCPU ? .cpu : .tiles)
    let cpu = AttentionOnCPU(self, context, bias: bias, isPaired: variant == .cpuDotProduct)
    // A CPU runtime may offer too little local memory for the scratch of the widest heads.
    return variant != .tiles && cpu.fits ? cpu : AttentionInTiles(self, context, bias: bias)
  }
}
