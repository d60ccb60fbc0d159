import GraftOps

/// One inter-layer adapter.
///
/// With `z = GELU(BN1(x Wd + bd))`, split into class token and patches:
///
///     y = residual(x) + Dropout(GELU(BN3([Wc z_cls ; Wp GELU(BN2(DW(z_patches)))])) Wu + bu)
///
/// where `residual` is the identity, or RSDS: a valid depth-wise convolution over the patches that leaves the class
/// token alone. Source: arXiv 2409.11051 and its official code, class ILAdapter.
struct ILAModule: SequentialModule {
  static var isTokenwise: Bool { false }
  static var needsGrid: Bool { true }

  private let down, pointwise, up: TrainableLinear
  /// For the tokens in front of the grid; `nil` where there are none.
  private let cls: TrainableLinear?
  private let norm1, norm2, norm3: TrainableBatchNorm
  private let convolution: TrainableLinear
  private let residual: Residual
  private let kernel: Int
  private let dropout: Float

  private enum Residual {
    case identity
    case convolution(Tensor)
  }

  init(
    _ name: String, _ settings: ILA, shrinks: Bool, hasFront: Bool, dropout: Float, _ tensors: TensorLookup
  ) throws {
    down = tensors.linear("\(name).down")
    cls = hasFront ? tensors.linear("\(name).cls") : nil
    convolution = tensors.linear("\(name).conv")
    pointwise = tensors.linear("\(name).pointwise")
    up = tensors.linear("\(name).up")
    norm1 = tensors.batchNorm("\(name).norm1")
    norm2 = tensors.batchNorm("\(name).norm2")
    norm3 = tensors.batchNorm("\(name).norm3")
    switch (shrinks, settings.residual) {
    case (false, _): residual = .identity
    case (true, .pooling):
      // A fixed average: no parameter, so that no gradient is computed for it.
      let (width, taps) = (up.bias.count, settings.kernel * settings.kernel)
      let average = [Float](repeating: 1 / Float(taps), count: width * taps)
      residual = .convolution(
        try Tensor(
          average, shape: [width, 1, settings.kernel, settings.kernel], on: up.bias.context))
    case (true, _): residual = .convolution(tensors["\(name).rsds.weight"])
    }
    kernel = settings.kernel
    self.dropout = dropout
  }

  func callAsFunction(_ tokens: Tokens, on tape: Tape) throws -> Tokens {
    let (x, cells) = (tokens.values, tokens.layout.grid)
    let batch = x.shape[0]
    let z = try tape.activation(norm1(down(x, on: tape), on: tape), .gelu)
    let (zCls, zPatches) = try tape.splitFront(z, count: tokens.layout.front)

    let padding: Int
    if case .identity = residual { padding = kernel / 2 } else { padding = 0 }
    let grid = tape.reshape(zPatches, to: [batch, cells.rows, cells.columns, z.shape[2]])
    var patches = try tape.depthwiseConv(
      grid, weight: convolution.weight, bias: convolution.bias, stride: 1, padding: padding)
    let (rows, columns) = (patches.shape[1], patches.shape[2])
    patches = try tape.activation(norm2(patches, on: tape), .gelu)
    patches = try pointwise(patches, on: tape)
    patches = tape.reshape(patches, to: [batch, rows * columns, z.shape[2]])

    let joined = try tape.joinFront(zCls.flatMap { try cls?($0, on: tape) }, patches)
    let main = try tape.dropout(
      up(tape.activation(norm3(joined, on: tape), .gelu), on: tape), probability: dropout)

    switch residual {
    case .identity: return tokens.with(try tape.add(x, main))
    case .convolution(let weight):
      let shrunk = try tape.depthwiseConvOnTokens(
        x, grid: (cells.rows, cells.columns), weight: weight, bias: nil, stride: 1, padding: 0,
        front: tokens.layout.front)
      return Tokens(try tape.add(shrunk, main), tokens.layout.changed(by: .cut(kernel / 2)))
    }
  }
}
