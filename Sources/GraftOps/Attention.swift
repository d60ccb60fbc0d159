import GraftRuntime

extension Tape {
  /// Multi-head attention: `softmax(q k^T / sqrt(head size)) v` for each head.
  ///
  /// For the gradient it keeps `qkv`, the output and a number a query (the log of its sum of exponentials); the
  /// probabilities are computed again.
  ///
  /// - Parameters:
  ///   - qkv: (B, N, 3 D): queries, keys and values, each of `heads` heads one after another.
  ///   - heads: number of heads.
  ///   - queries: how many of the tokens, from the first, ask; all of them answer. By default all.
  ///   - variant: which kernels to use; by default those for the device.
  /// - Returns: (B, queries, D).
  /// - Throws: ``OperationError/unevenHeads(width:heads:)`` or ``OperationError/headTooWide(headSize:limit:)``.
  package func attention(
    _ qkv: Tensor, heads: Int, queries: Int? = nil, variant: AttentionVariant? = nil
  ) throws -> Tensor {
    let shape = try AttentionShape(qkv, heads: heads, queries: queries)
    let kernels = shape.kernels(variant, on: qkv.context)
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
  /// Groups of work-items and small local memory, for any device.
  case portable
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

  func kernels(_ variant: AttentionVariant?, on context: Context) -> any AttentionKernels {
    let variant = variant ?? (context.traits.isCPU ? .cpu : .portable)
    let cpu = AttentionOnCPU(self, context, isPaired: variant == .cpuDotProduct)
    // A CPU runtime may offer too little local memory for the scratch of the widest heads.
    return variant != .portable && cpu.fits ? cpu : PortableAttention(self, context)
  }
}
