import GraftOps

/// Low-rank products beside every linear layer, with factors that all layers share (arXiv 2212.03145).
///
///     y = W x + b + s V S U x
///
/// U (r, D) and V (D, r) serve all layers; each D x D block of a weight has its own core S (r, r). `qkv` has three such
/// blocks, `proj` one, and `fc1` and `fc2` one for each multiple of D. In the tensor-train form (`fact-tt`) the cores are
/// free: 2 D r + 144 r^2 on ViT-B/16, 61,440 with r = 16. In the Tucker form (`fact-tk`) they come from one C (r, r, r)
/// and P (slots, r), block k's being the sum over m of `C[:, :, m] P[k, m]`: 2 D r + 144 r + r^3, 86,528 with r = 32.
///
/// As in the official code (JieShibo/PETL-ViT): V starts at zero, U and free cores as PyTorch's linear layers, C and P
/// Xavier uniform; dropout 0.1 stands before V. The code picks s for each data set (0.01 to 100); 1 is its function's
/// default.
public struct FacT: Adapter {
  /// How the cores are made.
  public enum Variant: String, Codable, Sendable, CaseIterable {
    /// Tensor train: each is free.
    case tensorTrain = "fact-tt"
    /// Tucker: all come from one tensor and a row each.
    case tucker = "fact-tk"
  }

  /// `fact-tt` or `fact-tk`.
  public var name: String { variant.rawValue }
  /// Names of the settings.
  public var settingNames: [String] { ["rank", "scale", "dropout"] }

  /// How the cores are made.
  public var variant: Variant
  /// Rank, r.
  public var rank: Int
  /// Factor on what is added, s.
  public var scale: Float
  /// Dropout before V.
  public var dropout: BlockRate

  /// Creates settings; the rank is by default 16 for `fact-tt` and 32 for `fact-tk`.
  public init(_ variant: Variant = .tensorTrain, rank: Int? = nil, scale: Float = 1, dropout: BlockRate = 0.1)
  {
    self.variant = variant
    self.rank = rank ?? (variant == .tensorTrain ? 16 : 32)
    self.scale = scale
    self.dropout = dropout
  }

  /// The factors are of one width.
  public var needs: Set<Need> { [.oneWidth] }

  /// Declares the factors.
  ///
  /// - Throws: ``GraftError`` when a setting is out of range, or the MLP's width is no multiple of the backbone's.
  public func plan(for shape: BackboneShape) throws -> AdapterPlan {
    let width = shape.start.width
    try SettingCheck.narrow(rank, "rank", in: width)
    try dropout.requireProbability("dropout")
    try SettingCheck.finite(scale, "scale")
    let (settings, r) = (self, rank)
    let places = try places(shape)
    func linear(_ inputs: Int) -> Initializer { .uniform(bound: 1 / Float(inputs).squareRoot()) }
    var plan = AdapterPlan()
    plan.declare("fact.U.weight", [r, width], linear(width))
    plan.declare("fact.V.weight", [width, r], .constant(0))
    switch variant {
    case .tensorTrain:
      for place in places {
        let inputs = place.inputs * r
        plan.declare("\(place.operation).fact_S.weight", [place.outputs * r, inputs], linear(inputs))
      }
    case .tucker:
      let slots = places.reduce(0) { $0 + $1.slots }
      plan.declare("fact.C", [r, r, r], .xavier(fanIn: r * r, fanOut: r * r))
      plan.declare("fact.P", [slots, r], .xavier(fanIn: slots, fanOut: r))
    }
    for place in places {
      let dropout = dropout(place.operation.id.block ?? 0, of: shape.depth)
      plan.join(
        .on(place.operation.id),
        macs: { tokens, _ in
          tokens.count * ((place.inputs + place.outputs) * width * r + place.slots * r * r)
        },
        folds: [Fold(into: place.operation) { try settings.fold(place, width, into: &$0, $1) }]
      ) { tensors in
        let core: FacTModule.Core =
          switch settings.variant {
          case .tensorTrain: .free(tensors["\(place.operation).fact_S.weight"])
          case .tucker: .tucker(c: tensors["fact.C"], p: tensors["fact.P"])
          }
        return FacTModule(
          down: tensors["fact.U.weight"], up: tensors["fact.V.weight"], core: core, place: place,
          scale: settings.scale, dropout: dropout)
      }
    }
    return plan
  }

  /// A linear layer cut into blocks of the backbone's width.
  struct Place: Sendable {
    let operation: FrozenOperation
    /// Blocks along the outputs and along the inputs; one of the two is 1.
    let outputs, inputs: Int
    /// The row of P that belongs to the first block.
    let slot: Int

    var slots: Int { outputs * inputs }
    /// Whether a row of P makes a whole core: the official code leaves the MLP's cores interleaved.
    var hasWholeCores: Bool { operation.role != .fc1 && operation.role != .fc2 }
  }

  private func places(_ shape: BackboneShape) throws -> [Place] {
    let width = shape.start.width
    let layers = shape.operations.filter { [.qkv, .proj, .fc1, .fc2].contains($0.role) }
    var slot = 0
    return try layers.map { layer in
      guard layer.outputs % width == 0, layer.inputs % width == 0 else {
        throw GraftError.adapterDoesNotFit(
          adapter: name,
          reason: """
            its MLP of width \(max(layer.outputs, layer.inputs)) does not divide into blocks of the backbone's width, \
            \(width).
            """)
      }
      let place = Place(
        operation: layer, outputs: layer.outputs / width, inputs: layer.inputs / width, slot: slot)
      slot += place.slots
      return place
    }
  }
}

/// `y + s V Dropout(S U x)`, block by block of the backbone's width.
struct FacTModule: OperationModule {
  enum Core {
    /// S (outputs * r, inputs * r).
    case free(Tensor)
    /// C (r, r, r) and P (slots, r).
    case tucker(c: Tensor, p: Tensor)
  }

  let down, up: Tensor
  let core: Core
  let place: FacT.Place
  let scale, dropout: Float

  func callAsFunction(_ output: Tensor, reading input: LinearInput, on tape: Tape) throws -> Tensor {
    let (rank, width) = (down.shape[0], down.width)
    let input = try input.tensor()
    let blocks = tape.reshape(input, to: [input.rows * place.inputs, width])
    let low = try tape.linear(blocks, weight: down, bias: nil)
    let mixed = try tape.linear(
      tape.reshape(low, to: [input.rows, place.inputs * rank]), weight: coreWeight(on: tape), bias: nil)
    let dropped = try tape.dropout(mixed, probability: dropout)
    let high = try tape.linear(
      tape.reshape(dropped, to: [input.rows * place.outputs, rank]), weight: up, bias: nil)
    return try tape.addColumns(
      tape.reshape(high, to: [output.rows, output.width]), to: output, scale: scale)
  }

  /// S (outputs * r, inputs * r), which multiplies `U x` from the left.
  ///
  /// The official code multiplies rows by a core from the right, hence the transpositions. For `fc1` and `fc2` it
  /// reshapes the slices (r, r, slots) to (r, r * slots) as they lie, so that slots are interleaved; so does this.
  private func coreWeight(on tape: Tape) throws -> Tensor {
    guard case .tucker(let c, let p) = core else {
      guard case .free(let weight) = core else { preconditionFailure("there are two kinds of cores") }
      return weight
    }
    let (rank, slots) = (p.width, place.slots)
    let stack = tape.reshape(p, to: [1, p.rows, rank])
    let rows = tape.reshape(
      try tape.sliceTokens(stack, from: place.slot, count: slots), to: [slots, rank])
    let slices = tape.reshape(c, to: [rank * rank, rank])
    if place.hasWholeCores {
      let cores = try tape.linear(rows, weight: slices, bias: nil)
      let transposed = try tape.transposed(tape.reshape(cores, to: [slots, rank, rank]))
      return tape.reshape(transposed, to: [slots * rank, rank])
    }
    let interleaved = tape.reshape(
      try tape.linear(slices, weight: rows, bias: nil), to: [1, rank, rank * slots])
    guard place.inputs == 1 else { return tape.reshape(interleaved, to: [rank, rank * slots]) }
    return tape.reshape(try tape.transposed(interleaved), to: [rank * slots, rank])
  }
}

extension FacT {
  /// `W' = W + s V S U`, block by block.
  private func fold(
    _ place: Place, _ width: Int, into layer: inout DenseLayer, _ trained: (String) throws -> [Double]
  ) throws {
    let r = rank
    let (u, v) = (try trained("fact.U.weight"), try trained("fact.V.weight"))
    let core = try core(place, trained)
    for output in 0..<place.outputs {
      for input in 0..<place.inputs {
        // V S of this block, (D, r).
        var factor = [Double](repeating: 0, count: width * r)
        for row in 0..<width {
          for inner in 0..<r {
            let value = v[row * r + inner]
            let start = (output * r + inner) * place.inputs * r + input * r
            for column in 0..<r { factor[row * r + column] += value * core[start + column] }
          }
        }
        try layer.add(
          Double(scale), factor, times: u, rank: r, row: output * width, column: input * width)
      }
    }
  }

  /// S (outputs * r, inputs * r) as the module has it.
  private func core(_ place: Place, _ trained: (String) throws -> [Double]) throws -> [Double] {
    if variant == .tensorTrain {
      return try trained("\(place.operation).fact_S.weight")
    }
    let (c, p) = (try trained("fact.C"), try trained("fact.P"))
    let (r, slots) = (rank, place.slots)
    func core(_ i: Int, _ j: Int, _ slot: Int) -> Double {
      (0..<r).reduce(0) { $0 + c[(i * r + j) * r + $1] * p[(place.slot + slot) * r + $1] }
    }
    return (0..<slots * r * r).map { index in
      if place.hasWholeCores { return core(index % r, index / r % r, index / (r * r)) }
      let (row, column) = (index / (place.inputs * r), index % (place.inputs * r))
      // The interleaved axis runs along the outputs of fc1 and along the inputs of fc2.
      return place.inputs == 1
        ? core(column, row / slots, row % slots) : core(row, column / slots, column % slots)
    }
  }
}
