import GraftOps

/// A scion: trainable modules that join a frozen backbone at its sites.
///
/// A conforming type holds settings only. ``plan(for:)`` turns them into declared tensors, costs and, once the tensors
/// exist, modules; backbone and trainer know no adapter by name.
public protocol Adapter: Codable, Sendable, Hashable {
  /// The name on the command line and in `adapter_config.json`.
  var name: String { get }
  /// What the adapter declares on a backbone of this shape.
  ///
  /// - Throws: ``GraftError`` when settings are out of range or the backbone lacks a site.
  func plan(for shape: VisionTransformerShape) throws -> AdapterPlan
  /// The preset of ``TrainingRecipe`` that the method's paper, or the code it comes from, trains with.
  var presetName: String { get }
  /// Peak learning rate of the preset `quick`.
  var quickLearningRate: Double { get }
  /// Names of the settings, as `--set` and `adapter_config.json` have them.
  var settingNames: [String] { get }
  /// Whether a model computes what the plain backbone computes until the first step.
  var startsAsBackbone: Bool { get }
}

extension Adapter {
  /// The preset of ``TrainingRecipe`` that the method's paper, or the code it comes from, trains with.
  public var presetName: String { "petl" }
  /// True: exactly one factor of what the adapter adds starts at zero.
  public var startsAsBackbone: Bool { true }
  /// 3e-3: in a short trial 1e-3 and 1e-2 were no better for most methods (the adapter reference has it).
  public var quickLearningRate: Double { 3e-3 }
}

/// What an adapter needs and costs on one backbone; nothing here touches a device.
public struct AdapterPlan: Sendable {
  /// A trainable tensor.
  public struct Declaration: Sendable {
    let name: String
    let shape: [Int]
    let initializer: Initializer
    var count: Int { shape.reduce(1, *) }
  }

  /// What happens to the tokens at a site, and its multiply-accumulates.
  public struct SiteCost: Sendable {
    let site: Site
    /// Cells cut off each border of the grid.
    var border = 0
    /// Prompts that join the sequence; blocks above see them too.
    var prompts = 0
    /// Whether what stands there reads neighbours on the patch grid, which prompts would disturb.
    var needsGrid = false
    /// Multiply-accumulates for so many tokens before and after.
    let macs: @Sendable (_ tokensBefore: Int, _ tokensAfter: Int) -> Int
  }

  /// Trainable tensors.
  var declarations: [Declaration] = []
  /// Channels of each batch normalisation, by the name under which its running statistics are saved.
  var statistics: [(name: String, channels: Int)] = []
  /// Costs in the order of the sites.
  var costs: [SiteCost] = []
  /// Whether the class token is trained too.
  var trainsClassToken = false
  /// How the classification head starts.
  var head: HeadInitializer = .truncatedNormal
  /// Heads below the last block, in the order of depth; the one behind the last block is always there.
  var exits: [HeadPlan] = []
  /// What each head's loss counts at some progress of training, in 0...1; the last head's comes last.
  var lossWeights: @Sendable (_ progress: Double) -> [Float] = { _ in [1] }
  /// Probability with which an element of the adapter's gradients is dropped at each step; heads are spared.
  var gradientDrop: Float = 0
  /// Joins the modules, given the tensors.
  var join: @Sendable (_ tensors: TensorLookup, _ sites: inout GraftedSites) throws -> Void = { _, _ in }

  /// How a classification head starts.
  enum HeadInitializer: Sendable {
    /// Weights N(0, 0.02) within two deviations, bias 0: timm's.
    case truncatedNormal
    /// Weights Xavier uniform, bias N(0, 1e-6): the ILA code's.
    case xavier
  }

  /// All heads, in the order of depth.
  func heads(depth: Int) -> [HeadPlan] { exits + [.last(depth: depth)] }

  /// Scalars that the adapter trains, without heads and class token.
  public var parameterCount: Int { declarations.reduce(0) { $0 + $1.count } }

  /// Joins another adapter's plan on the same backbone; its modules act after this one's where both may stand.
  ///
  /// - Parameters:
  ///   - other: the plan; only one of the two may have exits.
  ///   - name: the other adapter's, for messages.
  /// - Throws: ``GraftError/siteTaken(site:adapter:)`` when both take a site that only one can have.
  mutating func add(_ other: AdapterPlan, of name: String) throws {
    let taken = Set(costs.map(\.site).filter(\.isExclusive))
    if let site = other.costs.map(\.site).first(where: taken.contains) {
      throw GraftError.siteTaken(site: "\(site)", adapter: name)
    }
    let tensors = Set(declarations.map(\.name))
    if let same = other.declarations.first(where: { tensors.contains($0.name) }) {
      throw GraftError.siteTaken(site: same.name, adapter: name)
    }
    if !other.exits.isEmpty {
      guard exits.isEmpty else { throw GraftError.siteTaken(site: "of the early exits", adapter: name) }
      (exits, lossWeights) = (other.exits, other.lossWeights)
    }
    declarations += other.declarations
    statistics += other.statistics
    costs += other.costs
    trainsClassToken = trainsClassToken || other.trainsClassToken
    if other.head != .truncatedNormal { head = other.head }
    gradientDrop = max(gradientDrop, other.gradientDrop)
    join = { [first = join] tensors, sites in
      try first(tensors, &sites)
      try other.join(tensors, &sites)
    }
  }

  mutating func declare(_ name: String, _ shape: [Int], _ initializer: Initializer) {
    declarations.append(Declaration(name: name, shape: shape, initializer: initializer))
  }

  /// Declares a linear layer's weight (outputs, inputs) and bias.
  mutating func declareLinear(
    _ name: String, outputs: Int, inputs: Int, kernel: [Int] = [], weight: Initializer, bias: Initializer
  ) {
    declare("\(name).weight", [outputs, inputs] + kernel, weight)
    declare("\(name).bias", [outputs], bias)
  }

  /// Declares a batch normalisation and its running statistics.
  mutating func declareBatchNorm(_ name: String, channels: Int) {
    declare("\(name).weight", [channels], .constant(1))
    declare("\(name).bias", [channels], .constant(0))
    statistics.append((name, channels))
  }
}

/// Finds a plan's tensors once they are on the device.
package struct TensorLookup {
  let tensors: [String: Tensor]
  let statistics: [String: BatchNormStatistics]
  let backbone: VisionTransformer

  subscript(_ name: String) -> Tensor {
    guard let tensor = tensors[name] else { preconditionFailure("\(name) was not declared") }
    return tensor
  }

  /// A frozen vector of the backbone, by timm's name.
  func frozen(_ name: String) throws -> Tensor {
    let values = backbone.vector(name)
    return try Tensor(values, shape: [values.count], on: backbone.context)
  }

  func linear(_ name: String) -> TrainableLinear {
    TrainableLinear(weight: self["\(name).weight"], bias: self["\(name).bias"])
  }

  func batchNorm(_ name: String) -> TrainableBatchNorm {
    guard let running = statistics[name] else { preconditionFailure("\(name) was not declared") }
    return TrainableBatchNorm(weight: self["\(name).weight"], bias: self["\(name).bias"], running: running)
  }
}

/// `x W^T + b` with trainable weight and bias.
struct TrainableLinear {
  let weight: Tensor
  let bias: Tensor

  func callAsFunction(_ input: Tensor, on tape: Tape) throws -> Tensor {
    try tape.linear(input, weight: weight, bias: bias)
  }

  /// `scale * (x W^T + b)`, in groups if need be; the factor goes onto the parameters, which are smaller than the tokens.
  func callAsFunction(_ input: Tensor, groups: Int = 1, scaledBy scale: Float, on tape: Tape) throws -> Tensor
  {
    try tape.groupedLinear(
      input, weight: tape.scale(weight, by: scale), bias: tape.scale(bias, by: scale), groups: groups)
  }
}

/// Batch normalisation with trainable scale and shift.
struct TrainableBatchNorm {
  let weight: Tensor
  let bias: Tensor
  let running: BatchNormStatistics

  func callAsFunction(_ input: Tensor, on tape: Tape) throws -> Tensor {
    try tape.batchNorm(input, weight: weight, bias: bias, running: running)
  }
}
