import GraftOps

/// What an adapter needs and costs on one backbone; nothing here touches a device.
public struct AdapterPlan: Sendable {
  /// A trainable tensor.
  public struct Declaration: Sendable {
    let name: String
    let shape: [Int]
    let initializer: Initializer
    var count: Int { shape.reduce(1, *) }
  }

  /// What stands at a site: cost, change of layout, folds and module together.
  public struct Place: Sendable {
    let site: Site
    /// What happens to the tokens.
    let change: LayoutChange
    /// Whether what stands there reads neighbouring cells.
    let needsGrid: Bool
    /// Multiply-accumulates of an image whose tokens are laid out so before and after.
    let macs: @Sendable (_ before: TokenLayout, _ after: TokenLayout) -> Int
    /// How its work goes into frozen layers; `nil` where it cannot.
    let folds: [Fold]?
    /// The module, given the tensors.
    let make: @Sendable (_ tensors: TensorLookup) throws -> any SiteModule
  }

  /// Trainable tensors.
  var declarations: [Declaration] = []
  /// Channels of each batch normalisation, by the name under which its running statistics are saved.
  var statistics: [(name: String, channels: Int)] = []
  /// What stands where, in the order of joining.
  var places: [Place] = []
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

  /// How a classification head starts.
  enum HeadInitializer: Sendable {
    /// Weights N(0, 0.02) within two deviations, bias 0: timm's.
    case truncatedNormal
    /// Weights Xavier uniform, bias N(0, 1e-6): the ILA code's.
    case xavier
  }

  /// An empty plan.
  public init() {}

  /// Checks what the adapter needs, asks it for its plan, and follows the tokens through it.
  ///
  /// - Throws: ``GraftError`` when settings are out of range or the adapter does not fit the backbone.
  public init(_ adapter: any Adapter, on shape: BackboneShape) throws {
    for need in Need.allCases where adapter.needs.contains(need) && !shape.offers.contains(need) {
      throw GraftError.adapterDoesNotFit(adapter: adapter.name, reason: need.reason(on: shape))
    }
    self = try adapter.plan(for: shape)
    for (place, before) in shape.walk(places).places where place.needsGrid && before.prompts > 0 {
      throw GraftError.adapterDoesNotFit(
        adapter: adapter.name,
        reason: """
          what stands \(place.site) reads neighbouring patches, and \(before.prompts) prompts stand among the tokens.
          """)
    }
  }

  /// All heads, in the order of depth.
  func heads(on shape: BackboneShape) -> [HeadPlan] { exits + [.last(on: shape)] }

  /// Scalars that the adapter trains, without heads and class token.
  public var parameterCount: Int { declarations.reduce(0) { $0 + $1.count } }

  /// Puts a module at a site.
  ///
  /// - Parameters:
  ///   - site: where.
  ///   - macs: multiply-accumulates of an image whose tokens are laid out so before and after.
  ///   - change: what it does to the layout.
  ///   - folds: how its work goes into frozen layers where it is linear at inference.
  ///   - make: the module, given the tensors.
  mutating func join<Module: SiteModule & SendableMetatype>(
    _ site: Site, macs: @escaping @Sendable (_ before: TokenLayout, _ after: TokenLayout) -> Int,
    change: LayoutChange = .none, folds: [Fold]? = nil,
    _ make: @escaping @Sendable (_ tensors: TensorLookup) throws -> Module
  ) {
    places.append(
      Place(
        site: site, change: change, needsGrid: Module.needsGrid, macs: macs, folds: folds,
        make: { try make($0) }))
  }

  /// Joins another adapter's plan on the same backbone; its modules act after this one's where both may stand.
  ///
  /// - Parameters:
  ///   - other: the plan; only one of the two may have exits.
  ///   - name: the other adapter's, for messages.
  /// - Throws: ``GraftError/siteTaken(site:adapter:)`` when both take a site that only one can have.
  mutating func add(_ other: AdapterPlan, of name: String) throws {
    let taken = Set(places.map(\.site).filter(\.isExclusive))
    if let site = other.places.map(\.site).first(where: taken.contains) {
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
    places += other.places
    trainsClassToken = trainsClassToken || other.trainsClassToken
    if other.head != .truncatedNormal { head = other.head }
    gradientDrop = max(gradientDrop, other.gradientDrop)
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
