import GraftOps

/// Convpass (arXiv 2207.07039): a convolutional bottleneck beside the attention and beside the MLP of every block.
///
///     m(u) = s (Wu Drop(q(Conv3x3(q(Wd u + bd)))) + bu),    q = QuickGELU
///
/// The convolution is a full one, k x k x 3 x 3 with padding 1, over the patch grid; the class token passes it as an image
/// of one cell, so that only the centre tap acts. 327,552 parameters on ViT-B/16. Wd starts Xavier uniform, Wu and
/// biases zero; the convolution starts as the identity or Xavier uniform. Source: the official code (JieShibo/PETL-ViT),
/// where s and the convolution's start are chosen for each task.
public struct Convpass: Adapter {
  /// How the convolution starts.
  public enum ConvolutionInitializer: String, Codable, Sendable, CaseIterable {
    /// The centre taps are the identity, all others zero.
    case identity
    /// Xavier uniform.
    case xavier
  }

  /// `convpass`.
  public var name: String { "convpass" }
  /// 1e-3: in larger steps its full convolutions learn less.
  public var quickLearningRate: Double { 1e-3 }
  /// Names of the settings.
  public var settingNames: [String] { ["bottleneck", "scale", "convolution", "dropout"] }

  /// Channels of the bottleneck, k.
  public var bottleneck: Int
  /// Factor on what the adapter adds, s.
  public var scale: Float
  /// How the convolution starts.
  public var convolution: ConvolutionInitializer
  /// Dropout on the bottleneck.
  public var dropout: BlockRate

  /// Cells have neighbours.
  public var needs: Set<Need> { [.grid] }

  /// Creates settings; the source chooses s for each task.
  public init(
    bottleneck: Int = 8, scale: Float = 1, convolution: ConvolutionInitializer = .identity,
    dropout: BlockRate = 0.1
  ) {
    self.bottleneck = bottleneck
    self.scale = scale
    self.convolution = convolution
    self.dropout = dropout
  }

  /// Declares two modules a block.
  ///
  /// - Throws: ``GraftError`` when a setting is out of range.
  public func plan(for shape: BackboneShape) throws -> AdapterPlan {
    try SettingCheck.narrow(bottleneck, "bottleneck", in: shape.parts)
    try SettingCheck.finite(scale, "scale")
    try dropout.requireProbability("dropout")
    let (settings, k) = (self, bottleneck)
    var plan = AdapterPlan()
    for part in shape.parts {
      let (name, width) = (part.tensorName(self.name), part.reads)
      let dropout = dropout(part.id.block, of: shape.depth)
      BottleneckModule.declare(
        name, width: width, bottleneck: k, start: .zeroUp(down: .xavier(fanIn: width, fanOut: k)), in: &plan)
      plan.declareLinear(
        "\(name).conv", outputs: k, inputs: k, kernel: [3, 3],
        weight: convolution == .identity
          ? .identityConvolution(channels: k, side: 3) : .xavier(fanIn: 9 * k, fanOut: 9 * k),
        bias: .constant(0))
      plan.join(
        .beside(part.id),
        macs: { tokens, _ in
          2 * tokens.count * width * k + (tokens.front + 9 * tokens.grid.count) * k * k
        }
      ) { ConvpassModule(name, settings, dropout: dropout, $0) }
    }
    return plan
  }
}

/// One convolutional bottleneck beside a branch.
struct ConvpassModule: ParallelModule {
  static var isTokenwise: Bool { false }
  static var needsGrid: Bool { true }

  private let down, convolution, up: TrainableLinear
  private let scale, dropout: Float

  init(_ name: String, _ settings: Convpass, dropout: Float, _ tensors: TensorLookup) {
    down = tensors.linear("\(name).down")
    convolution = tensors.linear("\(name).conv")
    up = tensors.linear("\(name).up")
    scale = settings.scale
    self.dropout = dropout
  }

  func callAsFunction(_ input: Reading, addedTo sum: Tensor, on tape: Tape) throws -> Tensor {
    var hidden = try down(input.rows, activation: .quickGELU, on: tape)
    let (cells, front) = (input.layout.grid, input.layout.front)
    hidden = try tape.unfoldTokens(hidden, grid: (cells.rows, cells.columns), side: 3, front: front)
    hidden = try convolution(hidden, activation: .quickGELU, dropout: dropout, on: tape)
    return try up(hidden, scaledBy: scale, addedTo: sum, on: tape)
  }
}
